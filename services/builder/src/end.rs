//! The one transaction that ends an attempt: the job, which is the fence, and all that must agree with it.

use anyhow::Result;
use domain::job::JobKind;
use domain::name;
use domain::reason::{Reason, ReasonCode};
use sqlx::{PgConnection, PgPool};
use store::bell::{self, Channel};
use store::build::Build;
use store::environment::NewEnvironment;
use store::provenance::{Attested, Base};
use store::queue::{self, Job, Outcome};
use store::release::NewRelease;
use store::worker::{self, Stop};
use uuid::Uuid;

use crate::image::{Image, Images, Origin};
use crate::outcome::{self, Decision};
use crate::run::{Ended, Subject};

/// Where an application listens when neither its settings nor its image say so.
const PORT: i32 = 8080;

pub(crate) async fn end(
    db: &PgPool,
    images: &Images,
    job: &Job,
    subject: &Subject,
    ended: Ended,
) -> Result<()> {
    let build = &subject.build;
    let mut tx = db.begin().await?;
    let is_gone = match &ended {
        Ended::Built(image) => !is_there(&mut tx, images, image).await?,
        Ended::Failed(_) | Ended::Again { .. } | Ended::Stopped(_) => false,
    };
    let ended = if is_gone { without_image(job) } else { ended };
    let (held, wake): (bool, &[JobKind]) = match ended {
        Ended::Built(image) => {
            (built(&mut tx, job, subject, &image).await?, &[JobKind::Deploy, JobKind::Report, JobKind::Build])
        }
        Ended::Failed(reason) => {
            (failed(&mut tx, job, build, &reason).await?, &[JobKind::Build, JobKind::Report])
        }
        Ended::Again { error, delay } => {
            let outcome = Outcome::Retry { error: &error, delay };
            (put_back(&mut tx, job, build, outcome).await?, &[JobKind::Build])
        }
        Ended::Stopped(Stop::Shutdown) => {
            (put_back(&mut tx, job, build, Outcome::HandBack).await?, &[JobKind::Build])
        }
        Ended::Stopped(Stop::Cancelled) => {
            (stopped(&mut tx, job, build).await?, &[JobKind::Build, JobKind::Report])
        }
        Ended::Stopped(Stop::Lost) => (false, &[]),
    };
    if !held {
        tracing::warn!(job.id, build.number, "the lease was lost: somebody else ends this build");
        return Ok(());
    }
    tx.commit().await?;
    // Builds too: the application's lock is free again.
    worker::wake(db, wake).await;
    bell::ring(db, Channel::Build, &build.id.to_string()).await;
    Ok(())
}

/// Whether the registry has the image, kept true until the transaction ends. It was seen there; but an older one of the
/// same digest may have been garbage, and removed since.
async fn is_there(conn: &mut PgConnection, images: &Images, image: &Image) -> Result<bool> {
    Ok(store::garbage::hold(conn, &image.repository, &image.digest).await? || images.has(image).await)
}

fn without_image(job: &Job) -> Ended {
    let message = "the image was garbage of an earlier build, and was removed from the registry meanwhile";
    let reason = Reason::new(ReasonCode::RegistryUnavailable, message);
    match outcome::decide(reason, job.attempt, job.attempt_max, rand::random()) {
        Decision::Fail(reason) => Ended::Failed(reason),
        Decision::Retry { error, delay } => Ended::Again { error, delay },
    }
}

/// There is nothing to build: the build has ended, or its application is gone.
pub(crate) async fn without_subject(db: &PgPool, job: &Job) -> Result<()> {
    let mut tx = db.begin().await?;
    queue::finish(&mut tx, job, Outcome::Done).await?;
    tx.commit().await?;
    Ok(())
}

async fn built(conn: &mut PgConnection, job: &Job, subject: &Subject, image: &Image) -> Result<bool> {
    let Subject { build, app, .. } = subject;
    if !queue::finish(&mut *conn, job, Outcome::Done).await? {
        return Ok(false);
    }
    if !store::build::succeed(&mut *conn, build.id, &image.digest).await? {
        tracing::info!(build.number, "the build was ended by somebody else; its image is not released");
        return Ok(true);
    }
    store::build::record_image(&mut *conn, build, &image.repository, &image.digest, image.size_bytes).await?;
    record_origin(&mut *conn, build.id, image).await?;
    let namespace = name::namespace(&build.environment, &app.name);
    let environment = NewEnvironment {
        app_id: app.id,
        branch_id: build.branch_id,
        name: &build.environment,
        namespace: &namespace,
        ttl_seconds: build.ttl_seconds,
    };
    let environment = store::environment::ensure(&mut *conn, &environment).await?;
    let reference = image.reference();
    let port = app.port.or(image.port.map(i32::from)).unwrap_or(PORT);
    let new = NewRelease { build_id: build.id, image: &reference, port, health_path: &app.health_path };
    store::release::create(&mut *conn, &environment, &new).await?;
    store::push::enqueue_progress_report(&mut *conn, build.id).await?;
    store::sbom::want(conn, app.id, &image.digest).await?;
    Ok(true)
}

async fn record_origin(conn: &mut PgConnection, build: Uuid, image: &Image) -> Result<()> {
    if let Some((index_digest, provenance)) = &image.attested {
        let base = |it: &registry::Base| Base { name: it.name.clone(), digest: it.digest.clone() };
        let bases: Vec<Base> = provenance.bases.iter().map(base).collect();
        let attested = Attested { index_digest, predicate: &provenance.predicate, bases: &bases };
        store::provenance::record(&mut *conn, build, &attested).await?;
    }
    let input = match &image.origin {
        Origin::Reused(of) => return store::reuse::record(conn, build, *of).await,
        Origin::Built(input) => input,
    };
    store::layers::record(&mut *conn, build, &image.written_layers()).await?;
    match input {
        Some(input) => store::reuse::remember(conn, build, input).await,
        None => Ok(()),
    }
}

async fn failed(conn: &mut PgConnection, job: &Job, build: &Build, reason: &Reason) -> Result<bool> {
    if !queue::finish(&mut *conn, job, Outcome::Failed { error: &reason.message }).await? {
        return Ok(false);
    }
    if store::build::fail(&mut *conn, build.id, reason).await? {
        store::push::enqueue_report(&mut *conn, build.id).await?;
    }
    Ok(true)
}

/// Queues the job again; where a newer build of the branch waits, this one gives way to it instead.
async fn put_back(conn: &mut PgConnection, job: &Job, build: &Build, outcome: Outcome<'_>) -> Result<bool> {
    if !queue::finish(&mut *conn, job, outcome).await? {
        return Ok(false);
    }
    let newest = store::build::newest(&mut *conn, build.branch_id).await?;
    let is_newest = newest.is_none_or(|newest| newest.number <= build.number);
    if !is_newest && store::build::stop(&mut *conn, build).await? {
        store::push::enqueue_report(&mut *conn, build.id).await?;
    }
    Ok(true)
}

async fn stopped(conn: &mut PgConnection, job: &Job, build: &Build) -> Result<bool> {
    if !queue::finish(&mut *conn, job, Outcome::Cancelled).await? {
        return Ok(false);
    }
    if store::build::stop(&mut *conn, build).await? {
        store::push::enqueue_report(&mut *conn, build.id).await?;
    }
    Ok(true)
}

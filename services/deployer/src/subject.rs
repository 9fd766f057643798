//! What a `deploy` job is about, loaded anew at each attempt, and how a roll-out ends.

use anyhow::Result;
use domain::job::JobKind;
use domain::reason::Reason;
use manifest::{Object, Place};
use sqlx::PgPool;
use store::app::App;
use store::bell::{Channel, ring};
use store::environment::Environment;
use store::queue::{self, Job, Outcome};
use store::release::Release;
use store::{push, worker};
use uuid::Uuid;

#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) release: Release,
    pub(crate) environment: Environment,
    pub(crate) app: App,
}

impl Subject {
    pub(crate) fn place(&self) -> Place<'_> {
        Place { app: &self.app.name, env: &self.environment.name, namespace: &self.environment.namespace }
    }
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Work {
    RollOut(Box<Subject>),
    Remove(Environment),
}

/// `None`: the release or the environment was deleted, or what it belongs to.
pub(crate) async fn load(db: &PgPool, id: Uuid) -> Result<Option<Work>> {
    if let Some(release) = store::release::get(db, id).await? {
        return Ok(of_release(db, release).await?.map(Box::new).map(Work::RollOut));
    }
    Ok(store::environment::get(db, id).await?.map(Work::Remove))
}

async fn of_release(db: &PgPool, release: Release) -> Result<Option<Subject>> {
    let Some(environment) = store::environment::get(db, release.environment_id).await? else {
        return Ok(None);
    };
    let Some(app) = store::app::get(db, environment.app_id).await? else { return Ok(None) };
    Ok(Some(Subject { release, environment, app }))
}

/// Records what is about to be applied. `false`: the release has ended, or the lease was lost.
pub(crate) async fn start(db: &PgPool, job: &Job, release: &Release, manifests: &[Object]) -> Result<bool> {
    let mut tx = db.begin().await?;
    let manifests = serde_json::Value::from(manifests.to_vec());
    if !queue::holds(&mut tx, job).await? || !store::release::start(&mut tx, release.id, &manifests).await? {
        return Ok(false);
    }
    tx.commit().await?;
    ring(db, Channel::Build, &release.build_id.to_string()).await;
    Ok(true)
}

/// Whether the job is still ours, now.
pub(crate) async fn holds(db: &PgPool, job: &Job) -> Result<bool> {
    queue::holds(&mut *db.acquire().await?, job).await
}

#[derive(Debug)]
pub(crate) enum Ending<'a> {
    Live,
    Failed(&'a Reason),
    Superseded,
}

/// Ends the job and the release in one transaction, unless the lease was lost.
pub(crate) async fn end(db: &PgPool, job: &Job, release: &Release, ending: Ending<'_>) -> Result<()> {
    let mut tx = db.begin().await?;
    if matches!(ending, Ending::Live) {
        store::branch::hold_of_build(&mut tx, release.build_id).await?;
    }
    let outcome = match &ending {
        Ending::Live => Outcome::Done,
        Ending::Failed(reason) => Outcome::Failed { error: &reason.message },
        Ending::Superseded => Outcome::Cancelled,
    };
    if !queue::finish(&mut tx, job, outcome).await? {
        return Ok(());
    }
    let ended = match &ending {
        Ending::Live => store::release::make_live(&mut tx, release).await?,
        Ending::Failed(reason) => store::release::fail(&mut tx, release.id, reason).await?,
        Ending::Superseded => store::release::supersede(&mut tx, release.id).await?,
    };
    if ended {
        push::enqueue_report(&mut tx, release.build_id).await?;
    }
    tx.commit().await?;
    tracing::info!(%release.id, version = release.version, "{}", match ending {
        Ending::Live => "live",
        Ending::Failed(_) => "failed",
        Ending::Superseded => "superseded",
    });
    ring(db, Channel::Build, &release.build_id.to_string()).await;
    // Deploys too: the environment's lock is free again.
    worker::wake(db, &[JobKind::Deploy, JobKind::Report]).await;
    Ok(())
}

/// Ends the job and leaves the release as it is.
pub(crate) async fn finish(db: &PgPool, job: &Job, outcome: Outcome<'_>) -> Result<()> {
    let mut tx = db.begin().await?;
    queue::finish(&mut tx, job, outcome).await?;
    tx.commit().await?;
    Ok(())
}

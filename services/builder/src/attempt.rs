//! The way of one attempt: fetch, prepare, and make the image or find that it is there. Dropping its future stops all of it.

use std::time::Instant;

use anyhow::Result;
use domain::commit::Commit;
use domain::reason::{Reason, ReasonCode};
use host::metrics::builds::Phase;
use sqlx::PgPool;
use store::bell::{self, Channel};
use store::build::Build;
use store::queue::{self, Job};

use crate::cache::{self, Made};
use crate::image::Image;
use crate::journal::Log;
use crate::make::{Order, make};
use crate::prepare::prepare;
use crate::run::Subject;
use crate::{Builder, fetch};

/// So many older builds are looked at for ones that lost their job.
const OLDER_MAX: i64 = 50;

/// With the image what BuildKit made it from, unless it was there. `None`: the build was ended by somebody else, or the
/// lease is lost.
pub(crate) async fn run(
    builder: &Builder,
    job: &Job,
    subject: &Subject,
    log: &Log,
) -> Result<Option<(Image, Option<Made>)>, Reason> {
    let Subject { build, app, .. } = subject;
    let commit = Commit::parse(&build.commit).map_err(|error| internal(&error.into()))?;
    let started = Instant::now();
    let mirror = builder.mirror(app.id);
    let fetching = fetch::fetch(builder, app, job, &mirror, &commit, &build.branch);
    let known_cache = cache::known(builder, subject, job.attempt);
    let (began, fetched, cached) = tokio::join!(begin(&builder.db, job, build, log), fetching, known_cache);
    if !began.map_err(|error| internal(&error))? {
        return Ok(None);
    }
    let snapshot = fetched?;
    builder.numbers.phase(Phase::Fetch, started.elapsed());
    log.say(format!("fetched {} in {} ms", commit.short(), started.elapsed().as_millis())).await;

    let describing = describe(&builder.db, job, build, snapshot.subject.clone(), snapshot.author.clone());
    let planning = Instant::now();
    let preparing = prepare(snapshot, app, &subject.settings, mirror);
    let (described, prepared) = tokio::join!(describing, preparing);
    described.map_err(|error| internal(&error))?;
    let (plan, input) = prepared?;
    builder.numbers.phase(Phase::Plan, planning.elapsed());
    log.say(plan.why.clone()).await;

    let key = input.key(&plan);
    let built = match known(builder, build, &key, log).await {
        Some(image) => (image, None),
        None => {
            let (plan, known, lease) = (&plan, cached.as_ref(), job.lease);
            let order = Order { subject, commit: &commit, plan, input: &input, known, lease };
            let (image, at) = make(builder, order, log).await?;
            (image.of_input(key.clone()), Some(Made { at, input, key }))
        }
    };
    log.say(format!("built in {} ms", started.elapsed().as_millis())).await;
    Ok(Some(built))
}

/// The image of an earlier build of the same input, if the registry still has it. Whatever goes wrong here, the
/// build goes the long way.
async fn known(builder: &Builder, build: &Build, key: &[u8], log: &Log) -> Option<Image> {
    if build.no_cache {
        return None;
    }
    let known = store::reuse::known(&builder.db, build.app_id, key).await.unwrap_or_else(|error| {
        tracing::warn!("looking for an image of the same input: {error:#}");
        None
    })?;
    let image = builder.images.confirm(known.repository, &known.digest).await.ok()?;
    log.say(format!("nothing differs from build #{}: its image is used again", known.number)).await;
    builder.numbers.reused();
    Some(image.reusing(known.build_id))
}

/// Records that the attempt began. `false`: there is nothing to do any more.
pub(crate) async fn begin(db: &PgPool, job: &Job, build: &Build, log: &Log) -> Result<bool> {
    let mut tx = db.begin().await?;
    if !queue::holds(&mut tx, job).await? || !store::build::start(&mut tx, build.id, job.attempt).await? {
        return Ok(false);
    }
    tx.commit().await?;
    bell::ring(db, Channel::Build, &build.id.to_string()).await;
    if build.started_at.is_some() {
        log.say(format!("starting over (attempt {} of {})", job.attempt, job.attempt_max)).await;
    }
    stop_older(db, build).await?;
    Ok(true)
}

/// A newer build that takes over the lane of one whose builder died leaves that one without a job. Builds of a
/// branch run one at a time, so every older one that has not ended is such a one.
async fn stop_older(db: &PgPool, build: &Build) -> Result<()> {
    let older = store::build::list(db, build.app_id, Some(build.number), OLDER_MAX).await?;
    for older in older.iter().filter(|it| it.branch_id == build.branch_id && !it.state.0.is_final()) {
        let mut tx = db.begin().await?;
        if store::build::stop(&mut tx, older).await? {
            store::push::enqueue_report(&mut tx, older.id).await?;
        }
        tx.commit().await?;
    }
    Ok(())
}

async fn describe(db: &PgPool, job: &Job, build: &Build, subject: String, author: String) -> Result<()> {
    let mut tx = db.begin().await?;
    if queue::holds(&mut tx, job).await? {
        store::build::describe(&mut tx, build.id, &subject, &author).await?;
    }
    tx.commit().await?;
    Ok(())
}

fn internal(error: &anyhow::Error) -> Reason {
    Reason::new(ReasonCode::Internal, format!("{error:#}"))
}

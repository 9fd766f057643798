//! Deployers: what `services/deployer` does around a roll-out or a removal. The cluster does what the seed says.

use std::time::Duration;

use anyhow::Result;
use domain::reason::{Reason, ReasonCode};
use rand::Rng as _;
use sqlx::PgPool;
use store::queue::{self, Beat, Job, Outcome};
use store::release::{self, Release};

use super::holder;
use super::world::{self, World, attempt, say};

#[derive(Debug, Clone, Default)]
pub struct Deploying {
    stage: Stage,
    is_stopped: bool,
}

#[derive(Debug, Clone, Default)]
enum Stage {
    #[default]
    Claimed,
    Rolling(Box<Release>),
    Removing,
}

enum Began {
    Nothing,
    TooOften(Box<Release>),
    Rolling(Box<Release>),
    Removing,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Live,
    Failed,
    Superseded,
}

pub async fn work(
    world: &mut World<'_>,
    who: &str,
    job: &Job,
    since: &mut i32,
    work: &mut Deploying,
) -> Result<Option<bool>> {
    match work.stage.clone() {
        Stage::Claimed => {
            let begin = begin(world::db(world), job.clone());
            match attempt(world, format_args!("{who} begins"), begin).await? {
                None => return Ok(None),
                Some(Began::Nothing) => return holder::finish(world, who, job, Outcome::Done).await,
                Some(Began::TooOften(release)) => return end(world, who, job, &release, End::Failed).await,
                Some(Began::Rolling(release)) => {
                    say(world, format_args!("  release {}", release.version));
                    work.stage = Stage::Rolling(release);
                }
                Some(Began::Removing) => {
                    say(world, "  a removal");
                    work.stage = Stage::Removing;
                }
            }
            Ok(Some(false))
        }
        Stage::Rolling(release) if work.is_stopped => end(world, who, job, &release, End::Superseded).await,
        Stage::Rolling(release) => match world.rng.random_range(0..20) {
            0..5 if world.is_faulty => match holder::beat(world, who, job, since).await? {
                Some(Beat::Lost) => Ok(Some(true)),
                Some(Beat::CancelRequested) => {
                    work.is_stopped = true;
                    Ok(Some(false))
                }
                Some(Beat::Held) | None => Ok(Some(false)),
            },
            5..7 if world.is_faulty => holder::finish(world, who, job, Outcome::HandBack).await,
            7..9 if world.is_faulty && !job.is_last_attempt() => again(world, who, job).await,
            9..12 => end(world, who, job, &release, End::Failed).await,
            _ => end(world, who, job, &release, End::Live).await,
        },
        // Its namespace is not gone at once.
        Stage::Removing if world.is_faulty && world.rng.random_ratio(1, 3) => again(world, who, job).await,
        Stage::Removing => remove(world, who, job).await,
    }
}

/// As [`work`], and it is live.
pub async fn work_well(
    world: &mut World<'_>,
    who: &str,
    job: &Job,
    work: &mut Deploying,
) -> Result<Option<bool>> {
    match work.stage.clone() {
        Stage::Rolling(release) => end(world, who, job, &release, End::Live).await,
        Stage::Claimed | Stage::Removing => self::work(world, who, job, &mut 0, work).await,
    }
}

async fn again(world: &mut World<'_>, who: &str, job: &Job) -> Result<Option<bool>> {
    let outcome = Outcome::Retry { error: "the cluster was away", delay: Duration::from_secs(2) };
    holder::finish(world, who, job, outcome).await
}

async fn begin(db: PgPool, job: Job) -> Result<Began> {
    if let Some(release) = release::get(&db, job.subject).await? {
        if release.state.0.is_final() {
            return Ok(Began::Nothing);
        }
        if job.attempt > job.attempt_max {
            return Ok(Began::TooOften(Box::new(release)));
        }
        let mut tx = db.begin().await?;
        let manifests = serde_json::json!([]);
        if !queue::holds(&mut tx, &job).await? || !release::start(&mut tx, release.id, &manifests).await? {
            return Ok(Began::Nothing);
        }
        tx.commit().await?;
        return Ok(Began::Rolling(Box::new(release)));
    }
    if store::environment::get(&db, job.subject).await?.is_none() {
        return Ok(Began::Nothing);
    }
    let mut tx = db.begin().await?;
    if !store::environment::begin_removal(&mut tx, &job).await? {
        return Ok(Began::Nothing);
    }
    tx.commit().await?;
    Ok(Began::Removing)
}

async fn end(
    world: &mut World<'_>,
    who: &str,
    job: &Job,
    release: &Release,
    how: End,
) -> Result<Option<bool>> {
    let what = format!("{who} ends release {} as {how:?}", release.version);
    let (db, job, release) = (world::db(world), job.clone(), release.clone());
    attempt(world, what, async move {
        let failure = Reason::new(ReasonCode::NeverReady, "the seed says so");
        let mut tx = db.begin().await?;
        if matches!(how, End::Live) {
            store::branch::hold_of_build(&mut tx, release.build_id).await?;
        }
        let outcome = match how {
            End::Live => Outcome::Done,
            End::Failed => Outcome::Failed { error: &failure.message },
            End::Superseded => Outcome::Cancelled,
        };
        if !queue::finish(&mut tx, &job, outcome).await? {
            return Ok(true);
        }
        let ended = match how {
            End::Live => release::make_live(&mut tx, &release).await?,
            End::Failed => release::fail(&mut tx, release.id, &failure).await?,
            End::Superseded => release::supersede(&mut tx, release.id).await?,
        };
        if ended {
            store::push::enqueue_report(&mut tx, release.build_id).await?;
        }
        tx.commit().await?;
        Ok(true)
    })
    .await
}

async fn remove(world: &mut World<'_>, who: &str, job: &Job) -> Result<Option<bool>> {
    let (db, job) = (world::db(world), job.clone());
    attempt(world, format_args!("{who} has removed the environment"), async move {
        let mut tx = db.begin().await?;
        if store::environment::end_removal(&mut tx, &job).await? {
            tx.commit().await?;
        }
        Ok(true)
    })
    .await
}

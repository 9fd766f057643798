//! Builders: what `services/builder` does around a build, statement by statement. What it makes is a name.

use std::time::Duration;

use anyhow::Result;
use domain::reason::{Reason, ReasonCode};
use rand::Rng as _;
use sqlx::{PgConnection, PgPool};
use store::build::{self, Build};
use store::log::{self, Batch, Lines};
use store::queue::{self, Beat, Job, Outcome};

use super::holder::{self, Work};
use super::world::{self, World, attempt, say};
use crate::player::{self, DIGEST};

/// So many older builds are looked at for ones that lost their job.
const OLDER_MAX: i64 = 50;

#[derive(Debug, Clone, Default)]
pub struct Building {
    stage: Stage,
    /// It was told to stop.
    is_stopped: bool,
    /// The number of the next line of its log.
    next_line: i64,
    /// Lines of which it does not know whether they were written.
    unknown: Option<i64>,
}

#[derive(Debug, Clone, Default)]
enum Stage {
    #[default]
    Claimed,
    Begun(Box<Build>),
    Working(Box<Build>),
}

enum Began {
    Nothing,
    TooOften(Box<Build>),
    Refused(Box<Build>),
    Begun(Box<Build>, i64),
}

#[derive(Debug, Clone, Copy)]
enum End {
    Built,
    Failed(ReasonCode),
    Again(u64),
    HandedBack,
    Stopped,
}

/// It is about to end builds that lost their job to its own, which anybody may do at any time.
pub const fn ends_older(work: &Work) -> bool {
    matches!(work, Work::Build(Building { stage: Stage::Begun(_), .. }))
}

pub async fn work(
    world: &mut World<'_>,
    who: &str,
    job: &Job,
    since: &mut i32,
    work: &mut Building,
) -> Result<Option<bool>> {
    match work.stage.clone() {
        Stage::Claimed => start(world, who, job, work).await,
        Stage::Begun(build) => {
            let done = attempt(
                world,
                format_args!("{who} ends what is older than build {}", build.number),
                stop_older(world::db(world), build.clone()),
            )
            .await?;
            work.stage = Stage::Working(build);
            Ok(done.map(|()| false))
        }
        Stage::Working(build) if work.is_stopped => end(world, who, job, &build, End::Stopped).await,
        Stage::Working(build) => {
            let chance = world.rng.random_range(0..100);
            match chance {
                _ if work.unknown.is_some() => write(world, who, job, &build, work).await,
                0..25 if world.is_faulty || world.is_waking => write(world, who, job, &build, work).await,
                25..50 if world.is_faulty => match holder::beat(world, who, job, since).await? {
                    Some(Beat::Lost) => Ok(Some(true)),
                    Some(Beat::CancelRequested) => {
                        work.is_stopped = true;
                        Ok(Some(false))
                    }
                    // One that fails is tried again.
                    Some(Beat::Held) | None => Ok(Some(false)),
                },
                _ => {
                    let how = how(world, job);
                    end(world, who, job, &build, how).await
                }
            }
        }
    }
}

/// As [`work`]: some lines, and it is built.
pub async fn work_well(
    world: &mut World<'_>,
    who: &str,
    job: &Job,
    work: &mut Building,
) -> Result<Option<bool>> {
    let Stage::Working(build) = work.stage.clone() else {
        return self::work(world, who, job, &mut 0, work).await;
    };
    write(world, who, job, &build, work).await?;
    end(world, who, job, &build, End::Built).await
}

/// Without faults, what is tried again would be so for ever.
fn how(world: &mut World<'_>, job: &Job) -> End {
    match world.rng.random_range(0..20) {
        0..3 => End::Failed(ReasonCode::StepFailed),
        3..6 if world.is_faulty && !job.is_last_attempt() => End::Again(world.rng.random_range(1..12)),
        3..6 if job.is_last_attempt() => End::Failed(ReasonCode::BuildkitUnavailable),
        6..9 if world.is_faulty => End::HandedBack,
        _ => End::Built,
    }
}

async fn start(world: &mut World<'_>, who: &str, job: &Job, work: &mut Building) -> Result<Option<bool>> {
    let began = attempt(world, format_args!("{who} begins"), begin(world::db(world), job.clone())).await?;
    match began {
        None => Ok(None),
        Some(Began::Nothing) => holder::finish(world, who, job, Outcome::Done).await,
        Some(Began::TooOften(build)) => {
            end(world, who, job, &build, End::Failed(ReasonCode::LeaseLost)).await
        }
        Some(Began::Refused(build)) => end(world, who, job, &build, End::Stopped).await,
        Some(Began::Begun(build, next_line)) => {
            say(world, format_args!("  build {}", build.number));
            *work = Building { stage: Stage::Begun(build), next_line, ..Building::default() };
            Ok(Some(false))
        }
    }
}

async fn begin(db: PgPool, job: Job) -> Result<Began> {
    let build = build::get(&db, job.subject).await?.filter(|it| !it.state.0.is_final()).map(Box::new);
    let Some(build) = build else { return Ok(Began::Nothing) };
    if job.attempt > job.attempt_max {
        return Ok(Began::TooOften(build));
    }
    let next_line = log::line_count(&db, build.id).await?;
    let mut tx = db.begin().await?;
    if !queue::holds(&mut tx, &job).await? || !build::start(&mut tx, build.id, job.attempt).await? {
        return Ok(Began::Refused(build));
    }
    tx.commit().await?;
    Ok(Began::Begun(build, next_line))
}

async fn stop_older(db: PgPool, build: Box<Build>) -> Result<()> {
    let older = build::list(&db, build.app_id, Some(build.number), OLDER_MAX).await?;
    for older in older.iter().filter(|it| it.branch_id == build.branch_id && !it.state.0.is_final()) {
        let mut tx = db.begin().await?;
        if build::stop(&mut tx, older).await? {
            store::push::enqueue_report(&mut tx, older.id).await?;
        }
        tx.commit().await?;
    }
    Ok(())
}

/// Some lines of its log; those again of which it does not know.
async fn write(
    world: &mut World<'_>,
    who: &str,
    job: &Job,
    build: &Build,
    work: &mut Building,
) -> Result<Option<bool>> {
    let (db, job, id, is_unknown) = (world::db(world), job.clone(), build.id, work.unknown.is_some());
    let count = work.unknown.unwrap_or_else(|| world.rng.random_range(1..4));
    let after = work.next_line + count;
    let write = async move {
        if is_unknown && log::line_count(&db, id).await? == after {
            return Ok(true);
        }
        let chunk = Lines::of(0, (0..count).map(|_| "a line")).pack()?;
        log::append(&db, &job, id, &Batch { chunks: &[chunk], ..Batch::default() }).await
    };
    let known = world.lines.entry(id).or_default();
    known.1 = known.1.max(after);
    let written = attempt(world, format_args!("{who} writes {count} lines"), write).await?;
    if written.is_none() {
        work.unknown = Some(count);
        return Ok(None);
    }
    work.unknown = None;
    work.next_line = after;
    if written == Some(true) {
        let known = world.lines.entry(id).or_default();
        known.0 = known.0.max(after);
    }
    Ok(Some(written == Some(false)))
}

async fn end(world: &mut World<'_>, who: &str, job: &Job, build: &Build, how: End) -> Result<Option<bool>> {
    let what = format!("{who} ends build {} as {how:?}", build.number);
    let (db, job, build) = (world::db(world), job.clone(), build.clone());
    let ended = attempt(world, what, async move {
        let mut tx = db.begin().await?;
        let is_held = match how {
            End::Built => built(&mut tx, &job, &build).await?,
            End::Failed(code) => failed(&mut tx, &job, &build, code).await?,
            End::Again(seconds) => {
                let again = Outcome::Retry { error: "again", delay: Duration::from_secs(seconds) };
                put_back(&mut tx, &job, &build, again).await?
            }
            End::HandedBack => put_back(&mut tx, &job, &build, Outcome::HandBack).await?,
            End::Stopped => stopped(&mut tx, &job, &build).await?,
        };
        if is_held {
            tx.commit().await?;
        }
        Ok(is_held)
    });
    let Some(is_held) = ended.await? else { return Ok(None) };
    if !is_held {
        say(world, "  it had lost the job");
    }
    Ok(Some(true))
}

async fn built(conn: &mut PgConnection, job: &Job, build: &Build) -> Result<bool> {
    if !queue::finish(&mut *conn, job, Outcome::Done).await? {
        return Ok(false);
    }
    if !build::succeed(&mut *conn, build.id, DIGEST).await? {
        return Ok(true);
    }
    player::release(&mut *conn, build).await?;
    store::push::enqueue_progress_report(&mut *conn, build.id).await?;
    Ok(true)
}

async fn failed(conn: &mut PgConnection, job: &Job, build: &Build, code: ReasonCode) -> Result<bool> {
    let reason = Reason::new(code, "the seed says so");
    if !queue::finish(&mut *conn, job, Outcome::Failed { error: &reason.message }).await? {
        return Ok(false);
    }
    if build::fail(&mut *conn, build.id, &reason).await? {
        store::push::enqueue_report(&mut *conn, build.id).await?;
    }
    Ok(true)
}

async fn put_back(conn: &mut PgConnection, job: &Job, build: &Build, outcome: Outcome<'_>) -> Result<bool> {
    if !queue::finish(&mut *conn, job, outcome).await? {
        return Ok(false);
    }
    let newest = build::newest(&mut *conn, build.branch_id).await?;
    if newest.is_some_and(|newest| newest.number > build.number) && build::stop(&mut *conn, build).await? {
        store::push::enqueue_report(&mut *conn, build.id).await?;
    }
    Ok(true)
}

async fn stopped(conn: &mut PgConnection, job: &Job, build: &Build) -> Result<bool> {
    if !queue::finish(&mut *conn, job, Outcome::Cancelled).await? {
        return Ok(false);
    }
    if build::stop(&mut *conn, build).await? {
        store::push::enqueue_report(&mut *conn, build.id).await?;
    }
    Ok(true)
}

//! The end of a seed: nothing is struck any more, everybody does what is due, and all must come to rest.

use anyhow::{Result, ensure};
use domain::job::JobKind;
use sqlx::FromRow;
use uuid::Uuid;

use super::holder;
use super::world::{World, pass, say};
use super::{forge, people, receiver};

/// Retries wait for half a minute at most, and an abandoned build for one.
const ROUNDS_MAX: u32 = 10;
/// Leases run out in this time, and nobody goes on with what was not touched for so long.
const ROUND_SECONDS: i32 = 61;

/// What is not at rest.
#[derive(Debug, FromRow)]
struct Left {
    running: i64,
    resolves: i64,
    builds_queued: i64,
    deploys: i64,
    reports: i64,
    builds: i64,
    releases: i64,
    pushes: i64,
    removals: i64,
}

pub async fn rest(world: &mut World<'_>) -> Result<()> {
    say(world, "nothing fails any more");
    world.is_faulty = false;
    let sleepers = std::mem::take(&mut world.holders);
    for _ in 0..ROUNDS_MAX {
        pass(world, ROUND_SECONDS).await?;
        if world.apps.iter().any(|app| app.hook.is_some()) {
            forge::poll(world).await?;
        }
        if is_nothing(&everybody(world).await?) {
            world.holders = sleepers;
            return wake_up(world).await;
        }
    }
    let left = left(world).await?;
    anyhow::bail!("it did not come to rest: {left:?}")
}

/// Answers what is left when all have done what they could.
async fn everybody(world: &mut World<'_>) -> Result<Left> {
    let mut left = left(world).await?;
    let before = world.story.len();
    if left.pushes > 0 {
        receiver::reconcile(world).await?;
    }
    if left.running > 0 {
        people::sweep(world).await?;
    }
    if left.builds > left.builds_queued {
        people::repair(world).await?;
    }
    if left.removals > left.deploys {
        people::removals(world).await?;
    }
    if world.story.len() > before {
        left = self::left(world).await?;
    }
    // Each makes work for the next one.
    let mut is_busy = false;
    for (kind, waiting) in [
        (JobKind::Resolve, left.resolves),
        (JobKind::Build, left.builds_queued),
        (JobKind::Deploy, left.deploys),
    ] {
        if waiting > 0 || is_busy {
            is_busy |= all(world, kind).await?;
        }
    }
    if is_busy || left.reports > 0 {
        // Nobody checks what a forge is told: one is as good as all of them.
        sqlx::query(
            "update job set state = 'done', finished_at = now() where kind = 'report' and state = 'queued'",
        )
        .execute(&mut world.place.direct)
        .await?;
        left = self::left(world).await?;
    }
    Ok(left)
}

/// Takes what is ready until nothing is, each to its end. `false`: nothing was.
async fn all(world: &mut World<'_>, kind: JobKind) -> Result<bool> {
    let mut is_any = false;
    while holder::claim(world, kind, 1).await? {
        holder::work_to_end(world).await?;
        is_any = true;
    }
    Ok(is_any)
}

/// Who slept through it all goes on as if nothing had been, and must change nothing.
async fn wake_up(world: &mut World<'_>) -> Result<()> {
    if world.holders.is_empty() {
        return Ok(());
    }
    say(world, "sleepers wake up");
    world.is_waking = true;
    let before = holder::fingerprint(world).await?;
    while !world.holders.is_empty() {
        holder::work_to_end(world).await?;
    }
    ensure!(holder::fingerprint(world).await? == before, "one that woke up too late wrote all the same");
    Ok(())
}

async fn left(world: &mut World<'_>) -> Result<Left> {
    let apps: Vec<Uuid> = world.apps.iter().map(|app| app.id).collect();
    Ok(sqlx::query_as(
        "select count(*) filter (where state = 'running') as running,
             count(*) filter (where state = 'queued' and kind = 'resolve') as resolves,
             count(*) filter (where state = 'queued' and kind = 'build') as builds_queued,
             count(*) filter (where state = 'queued' and kind = 'deploy') as deploys,
             count(*) filter (where state = 'queued' and kind = 'report') as reports,
             (select count(*) from build where app_id = any($1) and finished_at is null) as builds,
             (select count(*) from release r join environment e on e.id = r.environment_id
              where e.app_id = any($1) and r.finished_at is null) as releases,
             (select count(*) from push p join branch b on b.id = p.branch_id
              where b.app_id = any($1) and p.state = 'receiving') as pushes,
             (select count(*) from environment e where e.app_id = any($1) and (e.removal_asked_at is not null
                  or e.name <> 'main' and exists (select from branch b where b.id = e.branch_id and b.commit is null)))
                 as removals
         from job where finished_at is null",
    )
    .bind(apps)
    .fetch_one(&mut world.place.direct)
    .await?)
}

const fn is_nothing(left: &Left) -> bool {
    left.running
        + left.resolves
        + left.builds_queued
        + left.deploys
        + left.reports
        + left.builds
        + left.releases
        + left.pushes
        + left.removals
        == 0
}

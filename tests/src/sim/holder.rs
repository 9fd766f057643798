//! Whoever holds a job: takes it, works on it a step at a time, and may sleep, die, or wake up when the job is long
//! somebody else's. Then it must change nothing.

use std::time::Duration;

use anyhow::{Result, ensure};
use domain::job::JobKind;
use rand::Rng as _;
use store::queue::{self, Beat, Job, Outcome};
use store::worker::LEASE;
use uuid::Uuid;

use super::builder::{self, Building};
use super::deployer::{self, Deploying};
use super::forge::{self, Resolve};
use super::world::{self, World, attempt, say};

#[derive(Debug, Clone)]
pub struct Holder {
    pub who: String,
    pub job: Job,
    /// When it last heard that the job is its own.
    pub since: i32,
    pub work: Work,
}

#[derive(Debug, Clone)]
pub enum Work {
    Resolve(Resolve),
    Build(Building),
    Deploy(Deploying),
    Report,
}

/// Takes jobs of the kind, as many as it has slots if they are builds, else one. `false`: none is ready. A claim whose
/// answer is lost is held by nobody until its lease runs out.
pub async fn claim(world: &mut World<'_>, kind: JobKind, slots: usize) -> Result<bool> {
    let who = format!("{} {}", worker_of(kind), world.claims + 1);
    let (db, owner) = (world::db(world), who.clone());
    let claim = async move { queue::claim_up_to(&db, &[kind], &owner, LEASE, slots).await };
    let Some(jobs) = attempt(world, format_args!("{who} looks for work"), claim).await? else {
        return Ok(false);
    };
    let is_any = !jobs.is_empty();
    for job in jobs {
        say(world, format_args!("  and takes job {}, attempt {}", job.id, job.attempt));
        world.claims += 1;
        let work = match kind {
            JobKind::Resolve => Work::Resolve(Resolve::default()),
            JobKind::Build => Work::Build(Building::default()),
            JobKind::Deploy => Work::Deploy(Deploying::default()),
            JobKind::Report => Work::Report,
        };
        world.holders.push(Holder { who: who.clone(), job, since: world.seconds, work });
    }
    Ok(is_any)
}

const fn worker_of(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Resolve => "resolver",
        JobKind::Build => "builder",
        JobKind::Deploy => "deployer",
        JobKind::Report => "reporter",
    }
}

/// One step of one of them.
pub async fn work(world: &mut World<'_>, index: usize) -> Result<()> {
    let mut holder = world.holders.swap_remove(index);
    let is_late = world.seconds - holder.since > i32::try_from(LEASE.as_secs())?;
    let before = if is_late && !is_held(world, &holder).await? && !builder::ends_older(&holder.work) {
        Some(fingerprint(world).await?)
    } else {
        None
    };
    let ended = step(world, &mut holder).await?;
    if let Some(before) = before {
        let who = &holder.who;
        ensure!(fingerprint(world).await? == before, "{who} had lost its job and wrote all the same");
    }
    match ended {
        Some(true) => {}
        Some(false) => world.holders.push(holder),
        None => after_failure(world, holder).await?,
    }
    Ok(())
}

/// As [`work`] to the end, of the one that came last.
pub async fn work_to_end(world: &mut World<'_>) -> Result<()> {
    let Some(mut holder) = world.holders.pop() else { return Ok(()) };
    while step(world, &mut holder).await? == Some(false) {}
    Ok(())
}

/// As [`work_to_end`], and all goes well.
pub async fn work_well(world: &mut World<'_>) -> Result<()> {
    let Some(mut holder) = world.holders.pop() else { return Ok(()) };
    loop {
        let Holder { who, job, work, .. } = &mut holder;
        let ended = match work {
            Work::Build(work) => builder::work_well(world, who, job, work).await?,
            Work::Deploy(work) => deployer::work_well(world, who, job, work).await?,
            Work::Resolve(_) | Work::Report => step(world, &mut holder).await?,
        };
        if ended != Some(false) {
            return Ok(());
        }
    }
}

/// `None`: it failed. Else whether that was the last one.
async fn step(world: &mut World<'_>, holder: &mut Holder) -> Result<Option<bool>> {
    let Holder { who, job, since, work } = holder;
    match work {
        Work::Resolve(work) => forge::resolve(world, who, job, work).await,
        Work::Build(work) => builder::work(world, who, job, since, work).await,
        Work::Deploy(work) => deployer::work(world, who, job, since, work).await,
        Work::Report => finish(world, who, job, Outcome::Done).await,
    }
}

/// The database failed it: it dies, puts the job back as the worker's loop does, or goes on as if nothing had been.
async fn after_failure(world: &mut World<'_>, holder: Holder) -> Result<()> {
    match world.rng.random_range(0..5) {
        0 | 1 => say(world, format_args!("  {} dies", holder.who)),
        2 | 3 => {
            let delay = Duration::from_secs(2 << holder.job.attempt.clamp(0, 4));
            let again = Outcome::Retry { error: "its handler failed", delay };
            finish(world, &holder.who, &holder.job, again).await?;
        }
        _ => world.holders.push(holder),
    }
    Ok(())
}

/// Ends the job and nothing else.
pub async fn finish(
    world: &mut World<'_>,
    who: &str,
    job: &Job,
    outcome: Outcome<'static>,
) -> Result<Option<bool>> {
    let (db, job) = (world::db(world), job.clone());
    let what = format!("{who} ends its job as {outcome:?}");
    let finish = async move {
        let mut tx = db.begin().await?;
        queue::finish(&mut tx, &job, outcome).await?;
        tx.commit().await?;
        Ok(true)
    };
    attempt(world, what, finish).await
}

/// `None`: it is not known.
pub async fn beat(world: &mut World<'_>, who: &str, job: &Job, since: &mut i32) -> Result<Option<Beat>> {
    let (db, job) = (world::db(world), job.clone());
    let beat = async move { queue::beat(&db, &job, LEASE).await };
    let beat = attempt(world, format_args!("{who} beats"), beat).await?;
    if matches!(beat, Some(Beat::Held | Beat::CancelRequested)) {
        *since = world.seconds;
    }
    Ok(beat)
}

/// Not as the store says it: that is what is tried here.
async fn is_held(world: &mut World<'_>, holder: &Holder) -> Result<bool> {
    Ok(sqlx::query_scalar("select exists (select from job where id = $1 and lease = $2)")
        .bind(holder.job.id)
        .bind(holder.job.lease)
        .fetch_one(&mut world.place.direct)
        .await?)
}

/// Of all that a holder may write.
pub async fn fingerprint(world: &mut World<'_>) -> Result<String> {
    let apps: Vec<Uuid> = world.apps.iter().map(|app| app.id).collect();
    Ok(sqlx::query_scalar(
        "select md5(concat_ws('/',
             (select string_agg(concat(id, state, lease, attempt, cancel, run_at), ';' order by id) from job),
             (select string_agg(b::text, ';' order by id) from branch b where app_id = any($1)),
             (select string_agg(b::text, ';' order by id) from build b where app_id = any($1)),
             (select string_agg(i::text, ';' order by id) from image i where app_id = any($1)),
             (select string_agg(l::text, ';' order by build_id) from build_log l join build on id = build_id where app_id = any($1)),
             (select string_agg(e::text, ';' order by id) from environment e where app_id = any($1)),
             (select string_agg(r::text, ';' order by r.id) from release r join build b on b.id = r.build_id where b.app_id = any($1))))",
    )
    .bind(apps)
    .fetch_one(&mut world.place.direct)
    .await?)
}

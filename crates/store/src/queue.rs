//! The queue's statements. A lane holds at most one queued job, the newest; a lock at most one running; the schema says so.
//!
//! A job carries only `(kind, lane, lock, subject)`: its handler reloads the truth, so a first run, a retry and a
//! recovery are one code path.

pub mod standing;

use std::time::Duration;

use anyhow::Result;
use domain::job::{BuildPolicy, JobKind};
use sqlx::postgres::types::PgInterval;
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use crate::Word;

/// A claimed job, and the lease that fences its writes.
#[derive(Debug, Clone, FromRow)]
pub struct Job {
    pub id: i64,
    #[sqlx(try_from = "String")]
    pub kind: Word<JobKind>,
    pub lane: String,
    pub lock_key: String,
    pub subject: Uuid,
    pub attempt: i32,
    pub attempt_max: i32,
    pub lease: Uuid,
}

impl Job {
    /// No attempt is left after this one: the handler must end its subject.
    pub const fn is_last_attempt(&self) -> bool {
        self.attempt >= self.attempt_max
    }
}

/// Who waits for a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Somebody who pushed.
    Push = 0,
    /// Nobody: what was built before is built again.
    Rebuild = 1,
}

/// What `enqueue` puts into the queue.
#[derive(Debug, Clone, Copy)]
pub struct NewJob<'a> {
    pub kind: JobKind,
    /// At most one job of a lane waits; a newer one takes its place.
    pub lane: &'a str,
    /// At most one job of a lock runs, and the oldest that waits is the next one.
    pub lock_key: &'a str,
    pub subject: Uuid,
    /// The application whose turn a build needs; other jobs are taken as they come.
    pub turn_of: Option<Uuid>,
    pub priority: Priority,
    /// What runs of the lane is asked to stop.
    pub stops_running: bool,
}

impl<'a> NewJob<'a> {
    /// One that is taken as it comes, alone under its key; what runs there is asked to stop.
    pub const fn keyed(kind: JobKind, key: &'a str, subject: Uuid) -> NewJob<'a> {
        NewJob {
            kind,
            lane: key,
            lock_key: key,
            subject,
            turn_of: None,
            priority: Priority::Push,
            stops_running: true,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Beat {
    Held,
    CancelRequested,
    Lost,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    Done,
    Failed {
        error: &'a str,
    },
    Cancelled,
    /// Queued again after `delay`, unless a newer job waits in the lane. A handler asks [`Job::is_last_attempt`]
    /// first: only it can end the subject.
    Retry {
        error: &'a str,
        delay: Duration,
    },
    /// As `Retry` at once, and the attempt does not count: this worker is shutting down.
    HandBack,
}

/// Serializes the writers that add a queued job to one lane. Held until the caller's transaction ends.
async fn lock_lane(conn: &mut PgConnection, kind: JobKind, lane: &str) -> Result<()> {
    sqlx::query("select pg_advisory_xact_lock(hashtextextended($1 || '/' || $2, 0))")
        .bind(kind.as_str())
        .bind(lane)
        .execute(conn)
        .await?;
    Ok(())
}

/// Puts the subject at the head of its lane: replaces a queued job, asks a running one with another subject to stop.
/// Call it in the transaction that records the subject, and ring [`crate::bell::Channel::Job`] after the commit.
pub async fn enqueue(conn: &mut PgConnection, job: NewJob<'_>) -> Result<i64> {
    enqueue_after(conn, job, Duration::ZERO).await
}

/// As [`enqueue`], but nobody takes the job before `delay` has gone by.
pub async fn enqueue_after(conn: &mut PgConnection, job: NewJob<'_>, delay: Duration) -> Result<i64> {
    lock_lane(&mut *conn, job.kind, job.lane).await?;
    put(conn, job, delay).await
}

/// [`lock_lane`] for the builds of a branch. Answers which of them are wanted.
pub(crate) async fn lock_branch_lane(conn: &mut PgConnection, branch_id: Uuid) -> Result<BuildPolicy> {
    let policy: String = sqlx::query_scalar(
        "select build_policy from branch, pg_advisory_xact_lock(hashtextextended('build/' || $1::text, 0)) where id = $1",
    )
    .bind(branch_id)
    .fetch_one(conn)
    .await?;
    Ok(policy.parse()?)
}

/// [`enqueue_after`], of a lane that is locked.
pub(crate) async fn put(conn: &mut PgConnection, job: NewJob<'_>, delay: Duration) -> Result<i64> {
    let id = sqlx::query_scalar(
        "with stale as (
             update job set cancel = true
             where $8 and kind = $1 and lane = $2 and lock_key = $3 and state = 'running' and subject <> $4
         )
         insert into job (kind, lane, lock_key, subject, run_at, app_id, priority)
         values ($1, $2, $3, $4, now() + $5, $6, $7)
         on conflict (kind, lane) where state = 'queued'
         do update set subject = excluded.subject, priority = least(job.priority, excluded.priority), attempt = 0, error = null,
             run_at = case when $5 = interval '0' then least(job.run_at, excluded.run_at) else excluded.run_at end
         returning id",
    )
    .bind(job.kind.as_str())
    .bind(job.lane)
    .bind(job.lock_key)
    .bind(job.subject)
    .bind(interval(delay))
    .bind(job.turn_of)
    .bind(job.priority as i16)
    .bind(job.stops_running)
    .fetch_one(conn)
    .await?;
    Ok(id)
}

/// Takes the next ready job of `kinds` whose lock is free: a build when it is its application's turn, others as they come.
pub async fn claim(db: &PgPool, kinds: &[JobKind], owner: &str, ttl: Duration) -> Result<Option<Job>> {
    Ok(claim_up_to(db, kinds, owner, ttl, 1).await?.pop())
}

/// As [`claim`]: up to `count` builds, as if they were asked for one after the other, or one other job. None: nothing is
/// ready.
pub async fn claim_up_to(
    db: &PgPool,
    kinds: &[JobKind],
    owner: &str,
    ttl: Duration,
    count: usize,
) -> Result<Vec<Job>> {
    if kinds.contains(&JobKind::Build) {
        let builds = claim_builds(db, owner, ttl, count).await?;
        if !builds.is_empty() {
            return Ok(builds);
        }
    }
    let kinds: Vec<&str> =
        kinds.iter().filter(|kind| **kind != JobKind::Build).map(|kind| kind.as_str()).collect();
    if kinds.is_empty() {
        return Ok(Vec::new());
    }
    Ok(claim_as_they_come(db, &kinds, owner, ttl).await?.into_iter().collect())
}

/// Whose turn it is, the database says: see the migration that brought `claim_builds`.
async fn claim_builds(db: &PgPool, owner: &str, ttl: Duration, count: usize) -> Result<Vec<Job>> {
    Ok(sqlx::query_as(
        "select id, kind, lane, lock_key, subject, attempt, attempt_max, lease from claim_builds($1, $2, $3)",
    )
    .bind(owner)
    .bind(interval(ttl))
    .bind(i32::try_from(count).unwrap_or(i32::MAX))
    .fetch_all(db)
    .await?)
}

async fn claim_as_they_come(db: &PgPool, kinds: &[&str], owner: &str, ttl: Duration) -> Result<Option<Job>> {
    let claimed = sqlx::query_as(
        "with next as (
             select id from job q
             where kind = any($1) and app_id is null and state = 'queued' and run_at <= now()
               and not exists (
                   select from job r where r.kind = q.kind and r.lock_key = q.lock_key and r.state = 'running'
               )
             order by run_at, id
             limit 1
             for update skip locked
         )
         update job set state = 'running', attempt = attempt + 1, cancel = false,
             lease = gen_random_uuid(), lease_owner = $2, lease_until = now() + $3
         from next where job.id = next.id
         returning job.id, kind, lane, lock_key, subject, attempt, attempt_max, lease",
    )
    .bind(kinds)
    .bind(owner)
    .bind(interval(ttl))
    .fetch_optional(db)
    .await;
    match claimed {
        // Two workers met at one lock with jobs of two lanes: the other one runs first.
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(None),
        other => Ok(other?),
    }
}

/// Extends the lease; the answer also carries a request to stop.
pub async fn beat(db: &PgPool, job: &Job, ttl: Duration) -> Result<Beat> {
    let cancel: Option<bool> = sqlx::query_scalar(
        "update job set lease_until = now() + $3 where id = $1 and lease = $2 returning cancel",
    )
    .bind(job.id)
    .bind(job.lease)
    .bind(interval(ttl))
    .fetch_optional(db)
    .await?;
    Ok(match cancel {
        Some(false) => Beat::Held,
        Some(true) => Beat::CancelRequested,
        None => Beat::Lost,
    })
}

/// The fence: whether the lease is still ours, kept true until the caller's transaction ends.
pub async fn holds(conn: &mut PgConnection, job: &Job) -> Result<bool> {
    let row = sqlx::query("select from job where id = $1 and lease = $2 for share")
        .bind(job.id)
        .bind(job.lease)
        .fetch_optional(conn)
        .await?;
    Ok(row.is_some())
}

/// Ends one attempt. Runs in the caller's transaction, before the domain writes it must agree with.
/// `false` means the lease was lost: roll back.
pub async fn finish(conn: &mut PgConnection, job: &Job, outcome: Outcome<'_>) -> Result<bool> {
    let (state, error, delay, uncounted) = match outcome {
        Outcome::Done => ("done", None, Duration::ZERO, 0),
        Outcome::Cancelled => ("cancelled", None, Duration::ZERO, 0),
        Outcome::Failed { error } => ("failed", Some(error), Duration::ZERO, 0),
        Outcome::Retry { error, delay } => ("queued", Some(error), delay, 0),
        Outcome::HandBack => ("queued", None, Duration::ZERO, 1),
    };
    lock_lane(&mut *conn, job.kind.0, &job.lane).await?;
    let ended = sqlx::query(
        "with want as (
             select case when $3 = 'queued' and exists (
                 select from job q where q.kind = $6 and q.lane = $7 and q.state = 'queued'
             ) then 'superseded' else $3 end::job_state as state
         )
         update job set state = want.state, error = $4, run_at = now() + $5, attempt = attempt - $8,
             lease = null, lease_owner = null, lease_until = null, seat = null,
             finished_at = case when want.state = 'queued' then null else now() end
         from want where id = $1 and lease = $2",
    )
    .bind(job.id)
    .bind(job.lease)
    .bind(state)
    .bind(error)
    .bind(interval(delay))
    .bind(job.kind.0.as_str())
    .bind(&job.lane)
    .bind(uncounted)
    .execute(conn)
    .await?;
    Ok(ended.rows_affected() == 1)
}

/// The subject of the running job that this lease is of: who shows a lease holds the job.
pub async fn subject_of_lease(db: &PgPool, kind: JobKind, lease: Uuid) -> Result<Option<Uuid>> {
    Ok(sqlx::query_scalar(
        "select subject from job where kind = $1 and lease = $2 and state = 'running' and lease_until > now()",
    )
    .bind(kind.as_str())
    .bind(lease)
    .fetch_optional(db)
    .await?)
}

/// What waits in the lane or under the lock of this name is dropped, what runs is asked to stop. Answers the subjects
/// that will not run any more.
pub async fn cancel_lane(conn: &mut PgConnection, kind: JobKind, lane: &str) -> Result<Vec<Uuid>> {
    lock_lane(&mut *conn, kind, lane).await?;
    sqlx::query(
        "update job set cancel = true where kind = $1 and (lane = $2 or lock_key = $2) and state = 'running'",
    )
    .bind(kind.as_str())
    .bind(lane)
    .execute(&mut *conn)
    .await?;
    Ok(sqlx::query_scalar(
        "update job set state = 'cancelled', finished_at = now()
         where kind = $1 and (lane = $2 or lock_key = $2) and state = 'queued' returning subject",
    )
    .bind(kind.as_str())
    .bind(lane)
    .fetch_all(conn)
    .await?)
}

/// As [`cancel_lane`], of one subject, which may have a lane of its own. `true`: it waited, and will not run any more.
pub(crate) async fn cancel(
    conn: &mut PgConnection,
    kind: JobKind,
    lane: &str,
    subject: Uuid,
) -> Result<bool> {
    let own = subject.to_string();
    lock_lane(&mut *conn, kind, lane).await?;
    lock_lane(&mut *conn, kind, &own).await?;
    let dropped: Vec<bool> = sqlx::query_scalar(
        "update job set cancel = (state = 'running'),
             finished_at = case state when 'queued' then now() end,
             state = (case state when 'queued' then 'cancelled' else 'running' end)::job_state
         where kind = $1 and lane in ($2, $4) and subject = $3 and state in ('queued', 'running')
         returning state = 'cancelled'",
    )
    .bind(kind.as_str())
    .bind(lane)
    .bind(subject)
    .bind(own)
    .fetch_all(conn)
    .await?;
    Ok(dropped.contains(&true))
}

/// Ends, on behalf of workers that died, the attempts whose lease ran out. Idempotent; every worker runs it.
pub async fn sweep(db: &PgPool) -> Result<u64> {
    let expired: Vec<Job> = sqlx::query_as(
        "select id, kind, lane, lock_key, subject, attempt, attempt_max, lease
         from job where state = 'running' and lease_until < now() order by id limit 100",
    )
    .fetch_all(db)
    .await?;
    let mut swept = 0;
    for job in &expired {
        let mut tx = db.begin().await?;
        let retry = Outcome::Retry { error: "the worker's lease ran out", delay: Duration::ZERO };
        swept += u64::from(finish(&mut tx, job, retry).await?);
        tx.commit().await?;
    }
    settle_turns(db).await?;
    Ok(swept)
}

/// Applications of which nothing waits any more, because what waited was cancelled, are asked no longer.
async fn settle_turns(db: &PgPool) -> Result<()> {
    sqlx::query(
        "select settle_turn(app_id) from turn t
         where waits is not null and not exists (select from job q where q.app_id = t.app_id and q.state = 'queued')",
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Finished jobs are of no use after a week: their story is in builds and releases.
pub async fn forget_finished(db: &PgPool) -> Result<u64> {
    let gone =
        sqlx::query("delete from job where finished_at < now() - interval '7 days'").execute(db).await?;
    Ok(gone.rows_affected())
}

fn interval(duration: Duration) -> PgInterval {
    PgInterval { months: 0, days: 0, microseconds: i64::try_from(duration.as_micros()).unwrap_or(i64::MAX) }
}

#[cfg(test)]
mod tests;

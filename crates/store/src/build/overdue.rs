//! Builds that no job will ever end: each state of a build has a deadline, and this is who keeps it.
//!
//! A build waits or runs because a job of it waits or runs. That breaks where a worker's attempt gave way to a newer
//! job which then went away itself, or where somebody deleted rows by hand. Such a build is queued again while it is
//! wanted: as its branch's newest, or because the branch builds every commit. Else it gives way. And one that is not done
//! a day after its push ends as failed.

use anyhow::Result;
use domain::job::JobKind;
use domain::reason::{Reason, ReasonCode};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::Build;
use crate::{branch, push, worker};

/// A newer build's first act is to end the older ones of its branch: it gets this long.
const JOBLESS_MAX: i32 = 60;
/// From the push. Attempts have shorter deadlines of their own; nobody waits for a build this long.
const UNDER_WAY_MAX: i32 = 24 * 60 * 60;
/// At one time.
const LOOKS_MAX: i64 = 100;

/// What [`repair`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    pub queued_again: usize,
    pub ended: usize,
}

enum Cure {
    QueuedAgain,
    Ended,
    Nothing,
}

/// Idempotent; every builder runs it now and then.
pub async fn repair(db: &PgPool) -> Result<Repaired> {
    let overdue: Vec<Uuid> = sqlx::query_scalar(
        "select id from build b where state in ('queued', 'running')
           and (created_at < now() - make_interval(secs => $1)
                or (created_at < now() - make_interval(secs => $2)
                    and not exists (select from job where kind = 'build' and subject = b.id
                                    and (state in ('queued', 'running')
                                         or finished_at > now() - make_interval(secs => $2)))))
         order by created_at limit $3",
    )
    .bind(f64::from(UNDER_WAY_MAX))
    .bind(f64::from(JOBLESS_MAX))
    .bind(LOOKS_MAX)
    .fetch_all(db)
    .await?;
    let mut repaired = Repaired::default();
    for id in overdue {
        let Some(build) = super::get(db, id).await? else { continue };
        let mut tx = db.begin().await?;
        // No push moves the branch meanwhile.
        branch::lock(&mut tx, build.branch_id).await?;
        let cure = cure(&mut tx, &build).await?;
        tx.commit().await?;
        match cure {
            Cure::QueuedAgain => repaired.queued_again += 1,
            Cure::Ended => repaired.ended += 1,
            Cure::Nothing => {}
        }
    }
    if repaired != Repaired::default() {
        worker::wake(db, &[JobKind::Build, JobKind::Report]).await;
    }
    Ok(repaired)
}

async fn cure(conn: &mut PgConnection, build: &Build) -> Result<Cure> {
    let (has_job, is_too_old, is_wanted): (bool, bool, bool) = sqlx::query_as(
        "select exists (select from job where kind = 'build' and subject = b.id and state in ('queued', 'running')),
                created_at < now() - make_interval(secs => $2),
                cancelled_at is null and (
                    not exists (select from build n where n.branch_id = b.branch_id and n.number > b.number)
                    or exists (select from branch where id = b.branch_id and build_policy = 'every'))
         from build b where id = $1",
    )
    .bind(build.id)
    .bind(f64::from(UNDER_WAY_MAX))
    .fetch_one(&mut *conn)
    .await?;
    if is_too_old {
        // Its job, if there is one, finds it ended.
        return ended_late(conn, build.id).await;
    }
    if has_job {
        return Ok(Cure::Nothing);
    }
    if is_wanted && revive(conn, build.id).await? {
        return Ok(Cure::QueuedAgain);
    }
    if !super::stop(conn, build).await? {
        return Ok(Cure::Nothing);
    }
    push::enqueue_report(conn, build.id).await?;
    Ok(Cure::Ended)
}

async fn ended_late(conn: &mut PgConnection, id: Uuid) -> Result<Cure> {
    let hours = UNDER_WAY_MAX / 3600;
    let reason = Reason::new(ReasonCode::LeaseLost, format!("no builder ended it within {hours} hours"));
    if !super::fail(conn, id, &reason).await? {
        return Ok(Cure::Nothing);
    }
    push::enqueue_report(conn, id).await?;
    Ok(Cure::Ended)
}

/// Queues the build's last job again, as it was: it knows its lane and all else. `false`: there is none any more.
async fn revive(conn: &mut PgConnection, id: Uuid) -> Result<bool> {
    let revived = sqlx::query(
        "update job set state = 'queued', attempt = 0, cancel = false, run_at = now(), finished_at = null,
             error = 'it had ended before its build'
         where id = (select max(id) from job where kind = 'build' and subject = $1)
           and not exists (select from job q where q.kind = job.kind and q.lane = job.lane and q.state = 'queued')",
    )
    .bind(id)
    .execute(conn)
    .await?;
    Ok(revived.rows_affected() == 1)
}

#[cfg(test)]
mod tests;

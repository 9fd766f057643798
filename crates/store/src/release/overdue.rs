//! Releases that no job will ever end, as [`crate::build::overdue`] is of builds.
//!
//! A release waits or is rolled out because a job of its environment waits or runs. Where that job went away without it,
//! the release is queued again while it is its environment's newest. Else it gives way.

use anyhow::Result;
use domain::job::JobKind;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::push::enqueue_report;
use crate::queue::{NewJob, enqueue};
use crate::worker;

/// Who takes a job over writes the release a moment later.
const JOBLESS_MAX: i32 = 60;
/// At one time.
const LOOKS_MAX: i64 = 100;

/// Whether a job of the environment of a release `r` will see to it. Environments that are to go end theirs themselves.
/// A macro, because a query's text must be a constant.
macro_rules! is_looked_after {
    () => {
        "(exists (select from environment e where e.id = r.environment_id and e.removal_asked_at is not null)
          or exists (select from job j where j.kind = 'deploy' and j.lane = r.environment_id::text
                     and (j.state in ('queued', 'running') or j.finished_at > now() - make_interval(secs => $1))))"
    };
}

/// Answers how many it queued again or ended. Idempotent; every deployer runs it now and then.
pub async fn repair(db: &PgPool) -> Result<usize> {
    let overdue: Vec<(Uuid, Uuid)> = sqlx::query_as(concat!(
        "select id, environment_id from release r where state in ('queued', 'rolling')
           and created_at < now() - make_interval(secs => $1) and not ",
        is_looked_after!(),
        " order by version limit $2"
    ))
    .bind(f64::from(JOBLESS_MAX))
    .bind(LOOKS_MAX)
    .fetch_all(db)
    .await?;
    let mut repaired = 0;
    for (id, environment_id) in overdue {
        let mut tx = db.begin().await?;
        repaired += usize::from(cure(&mut tx, id, environment_id).await?);
        tx.commit().await?;
    }
    if repaired > 0 {
        worker::wake(db, &[JobKind::Deploy, JobKind::Report]).await;
    }
    Ok(repaired)
}

async fn cure(conn: &mut PgConnection, id: Uuid, environment_id: Uuid) -> Result<bool> {
    // Nobody makes a newer release meanwhile.
    sqlx::query("select from environment where id = $1 for update")
        .bind(environment_id)
        .execute(&mut *conn)
        .await?;
    // Another statement, which sees what the environment was waited for.
    let found: Option<(Uuid, bool)> = sqlx::query_as(concat!(
        "select build_id, version = (select max(version) from release n where n.environment_id = r.environment_id)
         from release r where id = $2 and state in ('queued', 'rolling') and not ",
        is_looked_after!()
    ))
    .bind(f64::from(JOBLESS_MAX))
    .bind(id)
    .fetch_optional(&mut *conn)
    .await?;
    let Some((build_id, is_newest)) = found else { return Ok(false) };
    if is_newest {
        enqueue(conn, NewJob::keyed(JobKind::Deploy, &environment_id.to_string(), id)).await?;
        return Ok(true);
    }
    let ended = super::supersede(conn, id).await?;
    enqueue_report(conn, build_id).await?;
    Ok(ended)
}

#[cfg(test)]
mod tests;

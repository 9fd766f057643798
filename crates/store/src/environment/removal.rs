//! Removing environments, by one rule: to remove an environment is to roll nothing out. A removal is a job in the same
//! lane as the environment's releases, so the queue's own order holds between them: the newest wish waits, one at a time
//! is carried out, and a newer one stops the one that runs.
//!
//! - A removal takes the place of a release that waits, stops a roll-out that runs, and begins when that has ended.
//! - A release that comes later takes back a removal that has not begun.
//! - What has begun is not undone: the release waits for its turn and for the namespace to be gone, and makes it anew.
//!
//! The row says that a removal is wanted, the job only that somebody is to look; the row goes when the namespace is gone.
//! Whoever holds several rows locks them in this order: branch, environment, lane, job, release.

use anyhow::Result;
use domain::job::JobKind;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::queue::{self, Job, NewJob, Outcome, enqueue};
use crate::{moved, push, release};

/// Asks for an environment to be removed. `false`: it was asked for before, or the environment is gone.
/// Wake [`JobKind::Deploy`] and [`JobKind::Report`] after the commit.
pub async fn ask_removal(conn: &mut PgConnection, id: Uuid) -> Result<bool> {
    let asked = sqlx::query(
        "update environment set removal_asked_at = now() where id = $1 and removal_asked_at is null",
    );
    let asked = moved(asked.bind(id).execute(&mut *conn).await)?;
    if asked {
        enqueue_removal(conn, id).await?;
    }
    Ok(asked)
}

async fn enqueue_removal(conn: &mut PgConnection, id: Uuid) -> Result<()> {
    let key = id.to_string();
    enqueue(conn, NewJob::keyed(JobKind::Deploy, &key, id)).await?;
    for build_id in release::supersede_queued(conn, id, None).await? {
        push::enqueue_report(conn, build_id).await?;
    }
    Ok(())
}

/// Of an environment `e`: its time is up or its branch is gone, and nothing is being built for it; or its removal was
/// asked for and nobody is to look. A macro, because a query's text must be a constant.
macro_rules! is_due {
    () => {
        "case when e.removal_asked_at is null then
             (e.expires_at <= now()
              or e.name <> 'main' and exists (select from branch b where b.id = e.branch_id and b.commit is null))
             and not exists (select from build w where w.app_id = e.app_id and w.environment = e.name
                             and w.state in ('queued', 'running'))
         else not exists (select from job j where j.kind = 'deploy' and j.lane = e.id::text
                          and j.state in ('queued', 'running')) end"
    };
}

/// The environments that are to go and of which nobody has asked it, or of which the question was lost.
pub async fn due_removals(db: &PgPool) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar(concat!("select e.id from environment e where ", is_due!(), " order by e.id"))
        .fetch_all(db)
        .await?)
}

/// As [`ask_removal`], of one of the [`due_removals`]. `false`: it is not due any more.
pub async fn ask_due_removal(conn: &mut PgConnection, id: Uuid) -> Result<bool> {
    let asked = sqlx::query(concat!(
        "update environment e set removal_asked_at = coalesce(removal_asked_at, now()) where e.id = $1 and ",
        is_due!()
    ));
    let asked = moved(asked.bind(id).execute(&mut *conn).await)?;
    if asked {
        enqueue_removal(conn, id).await?;
    }
    Ok(asked)
}

/// An attempt to remove the job's subject begins. Its releases end here, and what was live of it is no branch's head any
/// more, so that the same commit can be pushed again. `false`: a release took the removal back, or the lease was lost;
/// roll back.
pub async fn begin_removal(conn: &mut PgConnection, job: &Job) -> Result<bool> {
    sqlx::query(
        "update branch set head = null from environment e join build b on b.app_id = e.app_id and b.environment = e.name
         where e.id = $1 and branch.id = b.branch_id and branch.head_number = b.number and branch.head is not null",
    )
    .bind(job.subject)
    .execute(&mut *conn)
    .await?;
    if !lock_wanted_gone(conn, job.subject).await? || !queue::holds(conn, job).await? {
        return Ok(false);
    }
    for build_id in release::end_all(conn, job.subject).await? {
        push::enqueue_report(conn, build_id).await?;
    }
    Ok(true)
}

/// The namespace is gone: ends the job, and with it the environment and its releases, unless a release took the removal
/// back meanwhile. Builds and images stay. `false`: the lease was lost; roll back.
pub async fn end_removal(conn: &mut PgConnection, job: &Job) -> Result<bool> {
    let is_wanted_gone = lock_wanted_gone(conn, job.subject).await?;
    if !queue::finish(conn, job, Outcome::Done).await? {
        return Ok(false);
    }
    if is_wanted_gone {
        sqlx::query("delete from environment where id = $1").bind(job.subject).execute(conn).await?;
    }
    Ok(true)
}

/// Whether the environment is there and wanted gone, kept true until the caller's transaction ends.
async fn lock_wanted_gone(conn: &mut PgConnection, id: Uuid) -> Result<bool> {
    let row =
        sqlx::query("select from environment where id = $1 and removal_asked_at is not null for update")
            .bind(id)
            .fetch_optional(conn)
            .await?;
    Ok(row.is_some())
}

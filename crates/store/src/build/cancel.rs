//! Stopping builds because somebody asks for it. What waits ends at once; what runs is asked through its job, and from
//! that moment can only end as cancelled, even if its builder dies of something else first.

use anyhow::Result;
use domain::job::JobKind;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Build;
use crate::{push, queue};

/// What became of the wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// Nobody worked on it, and it is over.
    Ended,
    /// A builder works on it, and was asked to stop: now or by an earlier wish, whose name stays.
    Asked,
    /// It had ended before; its row says how.
    TooLate,
}

/// Asks one build to stop. Wake [`JobKind::Build`] and [`JobKind::Report`] after the commit.
pub async fn ask(conn: &mut PgConnection, build: &Build, by: &str) -> Result<Cancelled> {
    stop_job(conn, build.id, build.branch_id).await?;
    mark(conn, build.id, Some(by)).await
}

/// Asks whatever is being built for an environment to stop. Wake [`JobKind::Build`] and [`JobKind::Report`] after the
/// commit.
pub async fn of_environment(
    conn: &mut PgConnection,
    app_id: Uuid,
    environment: &str,
    by: &str,
) -> Result<()> {
    let under_way: Vec<(Uuid, Uuid)> = sqlx::query_as(
        "select id, branch_id from build where app_id = $1 and environment = $2 and state in ('queued', 'running')
         order by branch_id, number",
    )
    .bind(app_id)
    .bind(environment)
    .fetch_all(&mut *conn)
    .await?;
    for (id, branch_id) in under_way {
        stop_job(conn, id, branch_id).await?;
        mark(conn, id, Some(by)).await?;
    }
    Ok(())
}

/// The branch is gone: nobody asked for these builds in particular.
pub(crate) async fn of_branch(conn: &mut PgConnection, branch_id: Uuid) -> Result<()> {
    queue::cancel_lane(conn, JobKind::Build, &branch_id.to_string()).await?;
    let under_way: Vec<Uuid> = sqlx::query_scalar(
        "select id from build where branch_id = $1 and state in ('queued', 'running') order by number",
    )
    .bind(branch_id)
    .fetch_all(&mut *conn)
    .await?;
    for id in under_way {
        stop_job(conn, id, branch_id).await?;
        mark(conn, id, None).await?;
    }
    Ok(())
}

/// Comes first, because it locks the lane: a builder that ends the build does so before its row, too.
async fn stop_job(conn: &mut PgConnection, id: Uuid, branch_id: Uuid) -> Result<()> {
    queue::cancel(conn, JobKind::Build, &branch_id.to_string(), id).await?;
    Ok(())
}

/// Writes the wish down. A build that no builder holds ends with that: its job was dropped, or lost to a newer one.
async fn mark(conn: &mut PgConnection, id: Uuid, by: Option<&str>) -> Result<Cancelled> {
    let is_held: Option<bool> = sqlx::query_scalar(
        "with held as (
             select exists (select from job where kind = 'build' and subject = $1 and state = 'running') as is_held
         )
         update build set cancelled_at = coalesce(cancelled_at, now()),
             cancelled_by = case when cancelled_at is null then $2 else cancelled_by end,
             finished_at = case when is_held then null else now() end,
             state = case when is_held then state else 'cancelled' end
         from held where id = $1 and state in ('queued', 'running')
         returning is_held",
    )
    .bind(id)
    .bind(by)
    .fetch_optional(&mut *conn)
    .await?;
    match is_held {
        None => Ok(Cancelled::TooLate),
        Some(true) => Ok(Cancelled::Asked),
        Some(false) => {
            push::enqueue_report(conn, id).await?;
            Ok(Cancelled::Ended)
        }
    }
}

#[cfg(test)]
mod tests;

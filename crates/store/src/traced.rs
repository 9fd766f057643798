//! Builds that are over, their releases included, and of which no trace was sent yet; and whose traces they go on from.

use anyhow::Result;
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use crate::Time;

/// A build with its release, and when what of both happened.
#[derive(Debug, Clone, FromRow)]
pub struct Traced {
    pub id: Uuid,
    /// As [`go_on`] got it.
    pub trace_parent: Option<String>,
    pub app: String,
    pub number: i32,
    pub branch: String,
    pub commit: String,
    pub environment: String,
    pub state: String,
    pub release_state: Option<String>,
    /// Why it or its release failed.
    pub why: Option<String>,
    pub created_at: Time,
    pub started_at: Option<Time>,
    pub finished_at: Time,
    pub roll_out_started_at: Option<Time>,
    pub roll_out_finished_at: Option<Time>,
}

/// The push goes on from a span of somebody else's trace, given as the header `traceparent` of version 00 is written. `of`
/// is the push, or the build that it became.
pub async fn go_on(conn: &mut PgConnection, of: Uuid, trace_parent: &str) -> Result<()> {
    sqlx::query(
        "update push set trace_parent = $2 where id = $1 or id = (select push_id from build where id = $1)",
    )
    .bind(of)
    .bind(trace_parent)
    .execute(conn)
    .await?;
    Ok(())
}

/// [`go_on`], from what the last delivery said that told of the build's commit since that was last built on its branch. A
/// push that nobody told of began here.
pub(crate) async fn go_on_from_delivery(conn: &mut PgConnection, build_id: Uuid) -> Result<()> {
    sqlx::query(
        "update push set trace_parent = (
             select d.trace_parent from delivery d
             where d.app_id = b.app_id and d.commit = b.commit and d.ref = 'refs/heads/' || b.branch
               and d.verdict = 'accepted' and d.trace_parent is not null
               and not exists (select from push earlier
                     where earlier.branch_id = b.branch_id and earlier.commit = b.commit
                       and earlier.id <> b.push_id and earlier.created_at >= d.received_at)
             order by d.received_at desc limit 1
         ) from build b where b.id = $1 and push.id = b.push_id",
    )
    .bind(build_id)
    .execute(conn)
    .await?;
    Ok(())
}

/// Those that ended within the last hour: a collector that was away for longer misses some. A trace that whoever began it
/// does not keep is kept by nobody.
pub async fn due(db: &PgPool, limit: i64) -> Result<Vec<Traced>> {
    Ok(sqlx::query_as(
        "select b.id, p.trace_parent, a.name as app, b.number, b.branch, b.commit, b.environment, b.state::text as state,
             r.state::text as release_state, coalesce(b.reason, r.reason) ->> 'message' as why,
             b.created_at, b.started_at, b.finished_at,
             r.started_at as roll_out_started_at, r.finished_at as roll_out_finished_at
         from build b join app a on a.id = b.app_id join push p on p.id = b.push_id left join release r on r.build_id = b.id
         where b.finished_at > now() - interval '1 hour' and b.traced_at is null
           and (p.trace_parent is null or p.trace_parent like '%-01')
           and (r.id is null or r.state not in ('queued', 'rolling'))
         order by b.finished_at limit $1",
    )
    .bind(limit)
    .fetch_all(db)
    .await?)
}

pub async fn sent(db: &PgPool, build_id: Uuid) -> Result<()> {
    sqlx::query("update build set traced_at = now() where id = $1").bind(build_id).execute(db).await?;
    Ok(())
}

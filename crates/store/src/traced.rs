//! Builds that are over, their releases included, and of which no trace was sent yet.

use anyhow::Result;
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

use crate::Time;

/// A build with its release, and when what of both happened.
#[derive(Debug, Clone, FromRow)]
pub struct Traced {
    pub id: Uuid,
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

/// Those that ended within the last hour: a collector that was away for longer misses some.
pub async fn due(db: &PgPool, limit: i64) -> Result<Vec<Traced>> {
    Ok(sqlx::query_as(
        "select b.id, a.name as app, b.number, b.branch, b.commit, b.environment, b.state::text as state,
             r.state::text as release_state, coalesce(b.reason, r.reason) ->> 'message' as why,
             b.created_at, b.started_at, b.finished_at,
             r.started_at as roll_out_started_at, r.finished_at as roll_out_finished_at
         from build b join app a on a.id = b.app_id left join release r on r.build_id = b.id
         where b.finished_at > now() - interval '1 hour' and b.traced_at is null
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

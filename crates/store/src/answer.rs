//! Which routers run, and which pods of which release they have switched to. The deployer reads it to say "live".

use anyhow::Result;
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

/// A router that has not beaten for this long is gone and is not waited for.
const ROUTER_GONE_SECONDS: f64 = 5.0;

#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Answer {
    pub pod: String,
    pub router: String,
}

/// The router's heartbeat; also forgets routers that are long gone.
pub async fn beat(db: &PgPool, router: &str) -> Result<()> {
    sqlx::query(
        "with gone as (delete from router where seen_at < now() - interval '1 hour')
         insert into router (id) values ($1) on conflict (id) do update set seen_at = now()",
    )
    .bind(router)
    .execute(db)
    .await?;
    Ok(())
}

/// The router ends by itself: nobody waits for it from now on.
pub async fn leave(db: &PgPool, router: &str) -> Result<()> {
    sqlx::query("delete from router where id = $1").bind(router).execute(db).await?;
    Ok(())
}

pub async fn routers_alive(db: &PgPool) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar(
        "select id from router where seen_at > now() - make_interval(secs => $1) order by id",
    )
    .bind(ROUTER_GONE_SECONDS)
    .fetch_all(db)
    .await?)
}

/// `router` sends the environment's requests to `pod` of the release from now on.
/// Ring [`crate::bell::Channel::Answer`] after it. A release that is gone is not an error: its pod outlived it.
pub async fn record(db: &PgPool, release_id: Uuid, pod: &str, router: &str) -> Result<()> {
    sqlx::query(
        "insert into answer (release_id, pod, router) select id, $2, $3 from release where id = $1
         on conflict do nothing",
    )
    .bind(release_id)
    .bind(pod)
    .bind(router)
    .execute(db)
    .await?;
    Ok(())
}

pub async fn of_release(db: &PgPool, release_id: Uuid) -> Result<Vec<Answer>> {
    Ok(sqlx::query_as("select pod, router from answer where release_id = $1 order by at")
        .bind(release_id)
        .fetch_all(db)
        .await?)
}

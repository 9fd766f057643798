//! PostgreSQL: what is remembered, and the queue. Free functions over a connection; no other crate writes SQL.
//!
//! Invariant: every write that belongs to a running job names the job's lease, so a worker that lost it writes nothing.

use std::time::Duration;

use anyhow::{Context as _, Result};
use sqlx::postgres::{PgPoolOptions, PgQueryResult};
use sqlx::{Connection as _, PgPool};

pub mod answer;
pub mod app;
pub mod bell;
pub mod branch;
pub mod build;
pub mod cache;
pub mod delivery;
pub mod environment;
pub mod figures;
pub mod garbage;
pub mod layers;
pub mod log;
pub mod provenance;
pub mod push;
pub mod queue;
pub mod release;
pub mod reuse;
pub mod rings;
pub mod sbom;
pub mod setting;
pub mod team;
pub mod time;
pub mod token;
pub mod traced;
pub mod word;
pub mod worker;

pub use time::Time;
pub use word::Word;

/// One static migrator: each `migrate!` would embed a copy of the migrations of its own.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations");

/// How long a service waits at its start for the database to answer and to be migrated.
const START_PATIENCE: Duration = Duration::from_secs(120);

/// A connection that was used within this time is not asked whether it still answers: a push takes a dozen of them, and
/// each question is a round trip.
const FRESH: Duration = Duration::from_millis(250);

/// A pool of at most `connections`; it connects when it is first used.
pub fn pool(url: &str, connections: u32) -> Result<PgPool> {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(10))
        .test_before_acquire(false)
        .before_acquire(|conn, meta| {
            Box::pin(async move {
                if meta.idle_for >= FRESH {
                    conn.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy(url)
        .context("SLIPWAY_DATABASE_URL is not a PostgreSQL URL such as postgres://user:password@host/slipway")
}

/// Brings the schema up to date. Safe to run from several processes at once: sqlx holds an advisory lock.
pub async fn migrate(db: &PgPool) -> Result<()> {
    let started = std::time::Instant::now();
    loop {
        match MIGRATOR.run(db).await {
            Ok(()) => return Ok(()),
            Err(error) if started.elapsed() < START_PATIENCE && is_unreachable(&error) => {
                tracing::info!("waiting for PostgreSQL: {error}");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            Err(error) => return Err(error).context("migrating the database"),
        }
    }
}

/// A migration that is wrong stays wrong; a database that does not answer yet may do so soon.
fn is_unreachable(error: &sqlx::migrate::MigrateError) -> bool {
    matches!(
        error,
        sqlx::migrate::MigrateError::Execute(
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::Tls(_)
        )
    )
}

/// Waits until the schema is the one this binary was built with.
pub async fn wait_for_schema(db: &PgPool) -> Result<()> {
    let newest = MIGRATOR.iter().map(|it| it.version).max().unwrap_or_default();
    let started = std::time::Instant::now();
    loop {
        let applied =
            sqlx::query_scalar::<_, Option<i64>>("select max(version) from _sqlx_migrations where success")
                .fetch_one(db)
                .await;
        match applied {
            Ok(Some(version)) if version >= newest => return Ok(()),
            _ if started.elapsed() > START_PATIENCE => anyhow::bail!(
                "the database is not migrated to version {newest} after {} s (now: {applied:?}); run `slipwayd migrate`",
                START_PATIENCE.as_secs()
            ),
            _ => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

/// Whether a move between two states found its row in the state it leaves.
fn moved(result: sqlx::Result<PgQueryResult>) -> Result<bool> {
    Ok(result?.rows_affected() == 1)
}

/// Whether the database answers at all; for readiness probes.
pub async fn answers(db: &PgPool) -> bool {
    sqlx::query("select 1").execute(db).await.is_ok()
}

#[cfg(test)]
mod tests;

//! The real PostgreSQL that a simulation runs in: a database of its own, with a clock that the simulation moves, and with
//! triggers that watch for what may never be.

use std::str::FromStr as _;

use anyhow::{Context as _, Result};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, PgPool};
use uuid::Uuid;

use super::wire::{self, Wire};

#[derive(Debug)]
pub struct Place {
    name: String,
    superuser: PgConnection,
    pub wire: Wire,
    /// What is simulated asks here; the wire may strike.
    pub db: PgPool,
    /// The simulation itself asks here.
    pub direct: PgConnection,
}

/// `superuser_url` names a user that may create databases.
pub async fn create(superuser_url: &str) -> Result<Place> {
    let options = PgConnectOptions::from_str(superuser_url)
        .context("DATABASE_URL is no URL")?
        .ssl_mode(PgSslMode::Disable)
        .disable_statement_logging();
    let mut superuser = options.connect().await.context("connecting to PostgreSQL")?;
    let name = format!("simulation_{}", Uuid::new_v4().simple());
    sqlx::query(AssertSqlSafe(format!("create database {name}")))
        .execute(&mut superuser)
        .await
        .context("creating a database: DATABASE_URL has to name a user that may")?;
    let settings =
        [("search_path", "sim,pg_catalog"), ("synchronous_commit", "off"), ("client_min_messages", "error")];
    let ours = options.clone().database(&name).options(settings);
    let wire = wire::start(format!("{}:{}", options.get_host(), options.get_port())).await?;
    let through = ours.clone().host("127.0.0.1").port(wire.address.port());
    // One connection: everything happens one after the other. A ping before each use would tell nothing.
    let db = PgPoolOptions::new().max_connections(1).test_before_acquire(false).connect_lazy_with(through);
    let mut direct = ours.connect().await?;
    sqlx::raw_sql(include_str!("clock.sql")).execute(&mut direct).await?;
    store::MIGRATOR.run(&mut direct).await?;
    sqlx::raw_sql(include_str!("watch.sql")).execute(&mut direct).await?;
    Ok(Place { name, superuser, wire, db, direct })
}

/// As it was when it was new.
pub async fn clear(place: &mut Place) -> Result<()> {
    sqlx::raw_sql(
        "truncate app, job, delivery, log_chunk, violation, released cascade;
         update team set served = 0, began = 0, clock = 0",
    )
    .execute(&mut place.direct)
    .await?;
    Ok(())
}

/// Puts the clock back to where every seed begins.
pub async fn reset_clock(place: &mut Place) -> Result<()> {
    sqlx::query("update clock set at = '2026-01-01 12:00:00Z'").execute(&mut place.direct).await?;
    Ok(())
}

pub async fn pass(place: &mut Place, seconds: i32) -> Result<()> {
    sqlx::query("update clock set at = at + make_interval(secs => $1)")
        .bind(f64::from(seconds))
        .execute(&mut place.direct)
        .await?;
    Ok(())
}

pub async fn drop(mut place: Place) -> Result<()> {
    place.db.close().await;
    place.direct.close().await?;
    sqlx::query(AssertSqlSafe(format!("drop database if exists {} with (force)", place.name)))
        .execute(&mut place.superuser)
        .await
        .with_context(|| format!("dropping the database {}", place.name))?;
    Ok(())
}

//! The days of the log store: made before they are needed, and dropped as a whole when nobody is to read them any more.

use anyhow::Result;
use jiff::civil;
use jiff_sqlx::{Date, ToSqlx as _};
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use super::archive;
use super::read::Logs;

/// Logs that are moved at one turn.
const MOVED_MAX: i64 = 100;
/// Objects that are deleted at one turn.
const DELETED_MAX: i64 = 1000;
/// A log that is in an object is read from there; its day stays so long for readers that began before.
const HERE_DAYS: i32 = 1;

/// What one turn did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tended {
    /// Logs that are in objects now.
    pub moved: u32,
    /// Days whose chunks left the database.
    pub dropped_days: u32,
    /// Logs that nobody can read any more.
    pub expired: u64,
}

/// Makes sure that chunks of the day can be written.
pub(super) async fn add(conn: &mut PgConnection, day: civil::Date) -> Result<()> {
    sqlx::query("select log_add_day($1)").bind(day.to_sqlx()).execute(conn).await?;
    Ok(())
}

/// To be called now and then, by as many processes as like: makes the days to come, moves the logs of builds that have
/// ended to the archive if there is one, and forgets what is older than `keep_days`.
pub async fn tend(logs: &Logs, keep_days: u32) -> Result<Tended> {
    let db = &logs.db;
    let today: Date = sqlx::query_scalar("select (now() at time zone 'utc')::date").fetch_one(db).await?;
    let today = today.to_jiff();
    let mut conn = db.acquire().await?;
    for day in [today, today.saturating_add(jiff::Span::new().days(1))] {
        add(&mut conn, day).await?;
    }
    drop(conn);
    let mut tended = Tended { moved: move_finished(logs).await?, ..Tended::default() };
    let oldest = today.saturating_sub(jiff::Span::new().days(i64::from(keep_days.min(36_500))));
    tended.expired += delete_objects(logs, oldest).await?;
    for day in days(db).await? {
        let is_old = day < oldest;
        if is_old || (logs.archive.is_some() && is_moved(db, day, today).await?) {
            // Whoever reads the day just now is not waited for: the next turn tries again.
            match drop_day(db, day).await {
                Ok(expired) => {
                    tended.dropped_days += 1;
                    tended.expired += expired;
                }
                Err(error) => tracing::info!("the logs of {day} are dropped later: {error:#}"),
            }
        }
    }
    Ok(tended)
}

async fn days(db: &PgPool) -> Result<Vec<civil::Date>> {
    let days: Vec<Date> = sqlx::query_scalar("select day from log_day order by day").fetch_all(db).await?;
    Ok(days.into_iter().map(Date::to_jiff).collect())
}

/// No log of the day is here alone, and none of a build that may still write.
async fn is_moved(db: &PgPool, day: civil::Date, today: civil::Date) -> Result<bool> {
    Ok(sqlx::query_scalar(
        "select $1 < $2 - $3 and not exists (
             select from build_log where day = $1 and object is null and expired_at is null)",
    )
    .bind(day.to_sqlx())
    .bind(today.to_sqlx())
    .bind(HERE_DAYS)
    .fetch_one(db)
    .await?)
}

/// Dropping a partition stops the readers of all days for a moment: it must not wait behind one of them.
async fn drop_day(db: &PgPool, day: civil::Date) -> Result<u64> {
    let mut tx = db.begin().await?;
    sqlx::query("set local lock_timeout = '300ms'").execute(&mut *tx).await?;
    sqlx::query("select log_drop_day($1)").bind(day.to_sqlx()).execute(&mut *tx).await?;
    let expired = sqlx::query(
        "update build_log set expired_at = now() where day = $1 and object is null and expired_at is null",
    )
    .bind(day.to_sqlx())
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(expired.rows_affected())
}

#[derive(FromRow)]
struct Row {
    build_id: Uuid,
    day: Date,
}

/// A build that has ended writes nothing any more.
async fn move_finished(logs: &Logs) -> Result<u32> {
    let Some(archive) = &logs.archive else { return Ok(0) };
    let rows: Vec<Row> = sqlx::query_as(
        "select build_id, day from build_log join build on build.id = build_id
         where object is null and expired_at is null and finished_at is not null
         order by finished_at limit $1",
    )
    .bind(MOVED_MAX)
    .fetch_all(&logs.db)
    .await?;
    let mut moved = 0;
    for Row { build_id, day } in rows {
        archive::put(&logs.db, archive, build_id, day).await?;
        moved += 1;
    }
    Ok(moved)
}

async fn delete_objects(logs: &Logs, oldest: civil::Date) -> Result<u64> {
    let Some(archive) = &logs.archive else { return Ok(0) };
    let rows: Vec<(Uuid, String)> = sqlx::query_as(
        "select build_id, object from build_log where day < $1 and object is not null order by day limit $2",
    )
    .bind(oldest.to_sqlx())
    .bind(DELETED_MAX)
    .fetch_all(&logs.db)
    .await?;
    let mut deleted = 0;
    for (build_id, object) in rows {
        archive::delete(archive, &object).await?;
        sqlx::query(
            "update build_log set object = null, object_bytes = null, index_bytes = null, expired_at = now()
             where build_id = $1",
        )
        .bind(build_id)
        .execute(&logs.db)
        .await?;
        deleted += 1;
    }
    Ok(deleted)
}

//! Steps and the log of a build. Append-only chunks; each line has a number, without holes; written only by the lease's holder.

pub mod archive;
pub mod day;
mod lines;
pub mod read;
#[cfg(test)]
mod tests;

use anyhow::{Context as _, Result};
use jiff_sqlx::{Date, ToSqlx as _};
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

pub use self::lines::{Chunk, Lines};
pub use self::read::{Line, Logs, Page, Raw, page, raw, read};
use crate::Time;
use crate::queue::{self, Job};

#[derive(Debug, Clone, FromRow, serde::Serialize)]
pub struct Step {
    /// From 1, over all attempts of the build.
    pub number: i32,
    pub attempt: i32,
    pub name: String,
    pub cached: bool,
    pub error: Option<String>,
    pub started_at: Option<Time>,
    pub completed_at: Option<Time>,
    /// The steps whose results it needs.
    pub inputs: Vec<i32>,
}

/// A step as its builder sees it; times come from BuildKit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepUpdate {
    pub number: i32,
    pub attempt: i32,
    pub name: String,
    pub cached: bool,
    pub error: Option<String>,
    pub started_at: Option<jiff::Timestamp>,
    pub completed_at: Option<jiff::Timestamp>,
    pub inputs: Vec<i32>,
}

/// Lines that are in no log because it is too long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromRow, serde::Serialize)]
pub struct Dropped {
    #[sqlx(rename = "dropped_lines")]
    pub lines: i64,
    #[sqlx(rename = "dropped_bytes")]
    pub bytes: i64,
}

/// What is written together.
#[derive(Debug, Default, Clone, Copy)]
pub struct Batch<'a> {
    pub steps: &'a [StepUpdate],
    pub chunks: &'a [Chunk],
    /// Since the batch before.
    pub dropped: Dropped,
}

/// How much log there is by now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromRow)]
pub struct Extent {
    /// The number the next line will have; 0 once the log is forgotten.
    pub line_count: i64,
    /// Of the lines, with their ends.
    pub byte_count: i64,
    /// What they take in the database, or took.
    pub stored_bytes: i64,
    #[sqlx(flatten)]
    pub dropped: Dropped,
    pub is_expired: bool,
}

/// Writes the batch in one transaction. `false`: the lease is lost and nothing was written.
/// Ring [`crate::bell::Channel::Build`] after it.
pub async fn append(db: &PgPool, job: &Job, build_id: Uuid, batch: &Batch<'_>) -> Result<bool> {
    let mut tx = db.begin().await?;
    if !queue::holds(&mut tx, job).await? {
        return Ok(false);
    }
    for step in batch.steps {
        put_step(&mut tx, build_id, step).await?;
    }
    if !batch.chunks.is_empty() || batch.dropped != Dropped::default() {
        put_chunks(&mut tx, build_id, batch).await?;
    }
    tx.commit().await?;
    Ok(true)
}

async fn put_step(conn: &mut PgConnection, build_id: Uuid, step: &StepUpdate) -> Result<()> {
    sqlx::query(
        "insert into step (build_id, number, attempt, name, cached, error, started_at, completed_at, inputs)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict (build_id, number) do update set name = excluded.name, cached = excluded.cached,
             error = excluded.error, started_at = excluded.started_at, completed_at = excluded.completed_at,
             inputs = excluded.inputs",
    )
    .bind(build_id)
    .bind(step.number)
    .bind(step.attempt)
    // PostgreSQL's text holds no NUL.
    .bind(step.name.replace('\0', ""))
    .bind(step.cached)
    .bind(step.error.as_ref().map(|it| it.replace('\0', "")))
    .bind(step.started_at.map(jiff_sqlx::ToSqlx::to_sqlx))
    .bind(step.completed_at.map(jiff_sqlx::ToSqlx::to_sqlx))
    .bind(&step.inputs)
    .execute(conn)
    .await?;
    Ok(())
}

async fn put_chunks(conn: &mut PgConnection, build_id: Uuid, batch: &Batch<'_>) -> Result<()> {
    let chunks = batch.chunks;
    let total = |of: fn(&Chunk) -> i64| chunks.iter().map(of).sum::<i64>();
    let added = total(|it| i64::from(it.line_count));
    let (day, line_count): (Date, i64) = sqlx::query_as(
        "insert into build_log (build_id, day, line_count, byte_count, stored_bytes, dropped_lines, dropped_bytes)
         select id, (created_at at time zone 'utc')::date, $2, $3, $4, $5, $6 from build where id = $1
         on conflict (build_id) do update set line_count = build_log.line_count + excluded.line_count,
             byte_count = build_log.byte_count + excluded.byte_count,
             stored_bytes = build_log.stored_bytes + excluded.stored_bytes,
             dropped_lines = build_log.dropped_lines + excluded.dropped_lines,
             dropped_bytes = build_log.dropped_bytes + excluded.dropped_bytes
         returning day, line_count",
    )
    .bind(build_id)
    .bind(added)
    .bind(total(|it| i64::from(it.byte_count)))
    .bind(total(|it| i64::try_from(it.body.len()).unwrap_or(i64::MAX)))
    .bind(batch.dropped.lines)
    .bind(batch.dropped.bytes)
    .fetch_optional(&mut *conn)
    .await?
    .context("the build is gone")?;
    let mut first_line = line_count - added;
    if first_line == 0 {
        day::add(&mut *conn, day.to_jiff()).await?;
    }
    let mut first_lines = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        first_lines.push(first_line);
        first_line += i64::from(chunk.line_count);
    }
    let of = |field: fn(&Chunk) -> i32| chunks.iter().map(field).collect::<Vec<i32>>();
    sqlx::query(
        "insert into log_chunk (day, build_id, first_line, line_count, step, continues, byte_count, body)
         select $1, $2, * from unnest($3::bigint[], $4::int[], $5::int[], $6::boolean[], $7::int[], $8::bytea[])",
    )
    .bind(day.to_jiff().to_sqlx())
    .bind(build_id)
    .bind(first_lines)
    .bind(of(|it| it.line_count))
    .bind(of(|it| it.step))
    .bind(chunks.iter().map(|it| it.continues).collect::<Vec<bool>>())
    .bind(of(|it| it.byte_count))
    .bind(chunks.iter().map(|it| &it.body[..]).collect::<Vec<&[u8]>>())
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn extent(db: &PgPool, build_id: Uuid) -> Result<Extent> {
    let extent = sqlx::query_as(
        "select case when expired_at is null then line_count else 0 end as line_count, byte_count, stored_bytes,
             dropped_lines, dropped_bytes, expired_at is not null as is_expired
         from build_log where build_id = $1",
    )
    .bind(build_id)
    .fetch_optional(db)
    .await?;
    Ok(extent.unwrap_or_default())
}

/// The number the next line will have.
pub async fn line_count(db: &PgPool, build_id: Uuid) -> Result<i64> {
    Ok(extent(db, build_id).await?.line_count)
}

/// All steps of a build, those of earlier attempts included, in the order they were met.
pub async fn steps(db: &PgPool, build_id: Uuid) -> Result<Vec<Step>> {
    Ok(sqlx::query_as(
        "select number, attempt, name, cached, error, started_at, completed_at, inputs from step
         where build_id = $1 order by number",
    )
    .bind(build_id)
    .fetch_all(db)
    .await?)
}

//! Steps and the log of a build. Append-only chunks; each line has a number, without holes; written only by the lease's holder.

use anyhow::Result;
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

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
}

/// A step as its builder sees it; times come from BuildKit.
#[derive(Debug, Clone, PartialEq)]
pub struct StepUpdate {
    pub number: i32,
    pub attempt: i32,
    pub name: String,
    pub cached: bool,
    pub error: Option<String>,
    pub started_at: Option<jiff::Timestamp>,
    pub completed_at: Option<jiff::Timestamp>,
}

/// Lines of one step that came together; step 0 is the build itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines {
    pub step: i32,
    pub lines: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Line {
    /// From 0, without holes.
    pub number: i64,
    pub step: i32,
    pub at: Time,
    pub text: String,
}

/// Writes steps and lines of `build_id` in one transaction. `false`: the lease is lost and nothing was written.
/// Ring [`crate::bell::Channel::Build`] after it.
pub async fn append(
    db: &PgPool,
    job: &Job,
    build_id: Uuid,
    steps: &[StepUpdate],
    lines: &[Lines],
) -> Result<bool> {
    let mut tx = db.begin().await?;
    if !queue::holds(&mut tx, job).await? {
        return Ok(false);
    }
    for step in steps {
        put_step(&mut tx, build_id, step).await?;
    }
    for chunk in lines.iter().filter(|chunk| !chunk.lines.is_empty()) {
        append_chunk(&mut tx, build_id, chunk).await?;
    }
    tx.commit().await?;
    Ok(true)
}

async fn put_step(conn: &mut PgConnection, build_id: Uuid, step: &StepUpdate) -> Result<()> {
    sqlx::query(
        "insert into step (build_id, number, attempt, name, cached, error, started_at, completed_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict (build_id, number) do update set name = excluded.name, cached = excluded.cached,
             error = excluded.error, started_at = excluded.started_at, completed_at = excluded.completed_at",
    )
    .bind(build_id)
    .bind(step.number)
    .bind(step.attempt)
    .bind(&step.name)
    .bind(step.cached)
    .bind(&step.error)
    .bind(step.started_at.map(jiff_sqlx::ToSqlx::to_sqlx))
    .bind(step.completed_at.map(jiff_sqlx::ToSqlx::to_sqlx))
    .execute(conn)
    .await?;
    Ok(())
}

/// PostgreSQL text holds no NUL, and a line holds no line feed: both are cleaned here, so that a line's number stays true.
async fn append_chunk(conn: &mut PgConnection, build_id: Uuid, chunk: &Lines) -> Result<()> {
    let clean: Vec<String> =
        chunk.lines.iter().map(|line| line.replace('\0', "").replace('\n', " ")).collect();
    sqlx::query(
        "insert into log_chunk (build_id, first_line, line_count, step, body)
         select $1, coalesce((select first_line + line_count from log_chunk where build_id = $1
                              order by first_line desc limit 1), 0), $2, $3, $4",
    )
    .bind(build_id)
    .bind(i32::try_from(clean.len())?)
    .bind(chunk.step)
    .bind(clean.join("\n"))
    .execute(conn)
    .await?;
    Ok(())
}

#[derive(FromRow)]
struct Chunk {
    first_line: i64,
    step: i32,
    at: Time,
    body: String,
}

/// Lines from number `from` on, in order, about `limit` of them (whole chunks).
pub async fn read(db: &PgPool, build_id: Uuid, from: i64, limit: usize) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    let mut next = from;
    while lines.len() < limit {
        let chunks: Vec<Chunk> = sqlx::query_as(
            "select first_line, step, at, body from log_chunk
             where build_id = $1 and first_line + line_count > $2
               and first_line >= coalesce((select max(first_line) from log_chunk where build_id = $1 and first_line <= $2), 0)
             order by first_line limit 50",
        )
        .bind(build_id)
        .bind(next)
        .fetch_all(db)
        .await?;
        if chunks.is_empty() {
            break;
        }
        for chunk in chunks {
            for (number, text) in (chunk.first_line..).zip(chunk.body.split('\n')) {
                if number >= next {
                    lines.push(Line { number, step: chunk.step, at: chunk.at, text: text.to_owned() });
                    next = number + 1;
                }
            }
        }
    }
    Ok(lines)
}

/// The number the next line will have.
pub async fn line_count(db: &PgPool, build_id: Uuid) -> Result<i64> {
    let count: Option<i64> = sqlx::query_scalar(
        "select first_line + line_count from log_chunk where build_id = $1 order by first_line desc limit 1",
    )
    .bind(build_id)
    .fetch_optional(db)
    .await?;
    Ok(count.unwrap_or(0))
}

/// All steps of a build, those of earlier attempts included, in the order they were met.
pub async fn steps(db: &PgPool, build_id: Uuid) -> Result<Vec<Step>> {
    Ok(sqlx::query_as(
        "select number, attempt, name, cached, error, started_at, completed_at from step
         where build_id = $1 order by number",
    )
    .bind(build_id)
    .fetch_all(db)
    .await?)
}

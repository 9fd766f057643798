//! Steps and the log of a build. Append-only chunks; each line has a number, without holes; written only by the lease's holder.

use anyhow::Result;
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use crate::Time;
use crate::queue::{self, Job};

/// Chunks that are looked at for one page.
const PAGE_CHUNKS: i64 = 50;

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

impl Chunk {
    fn lines(&self) -> impl Iterator<Item = Line> {
        let Chunk { first_line, step, at, .. } = *self;
        let texts = (first_line..).zip(self.body.split('\n'));
        texts.map(move |(number, text)| Line { number, step, at, text: text.to_owned() })
    }
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
            lines.extend(chunk.lines().filter(|line| line.number >= next));
            next = lines.last().map_or(next, |line| line.number + 1);
        }
    }
    Ok(lines)
}

/// Lines that follow each other, as many whole chunks of them as were asked for.
#[derive(Debug)]
pub struct Page {
    pub lines: Vec<Line>,
    /// There are no more, by now.
    pub is_last: bool,
}

/// The page at line `from`, which is 0 or follows another page: about `bytes` of text, and at least a chunk.
pub async fn page(db: &PgPool, build_id: Uuid, from: i64, bytes: i64) -> Result<Page> {
    #[derive(FromRow)]
    struct Row {
        #[sqlx(flatten)]
        chunk: Chunk,
        seen: i64,
    }
    let rows: Vec<Row> = sqlx::query_as(
        "select first_line, step, at, body, seen from (
             select first_line, step, at, body, count(*) over () as seen,
                 sum(octet_length(body)) over (order by first_line) - octet_length(body) as before
             from (select * from log_chunk where build_id = $1 and first_line >= $2
                   order by first_line limit $3) as near
         ) as measured where before < $4 order by first_line",
    )
    .bind(build_id)
    .bind(from)
    .bind(PAGE_CHUNKS)
    .bind(bytes)
    .fetch_all(db)
    .await?;
    let seen = rows.first().map_or(0, |row| row.seen);
    let is_last = seen < PAGE_CHUNKS && i64::try_from(rows.len())? == seen;
    Ok(Page { lines: rows.iter().flat_map(|row| row.chunk.lines()).collect(), is_last })
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

//! Reads a log by the numbers of its lines, wherever it is: in the database while its build runs, in an object after.

use anyhow::Result;
use jiff_sqlx::{Date, ToSqlx as _};
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

use super::archive::{self, Archive};
use super::lines::{Entry, Stored};
use crate::Time;

/// Chunks that are looked at for one page.
const PAGE_CHUNKS: i64 = 50;
/// Text that one [`read`] gives, but for one chunk: lines may be long.
const READ_BYTES: i64 = 8 << 20;
/// Read at a time for it.
const READ_PAGE: i64 = 512 << 10;

/// Where logs are.
#[derive(Clone, Debug)]
pub struct Logs {
    pub db: PgPool,
    /// Without one, those that were moved to it read like those that are forgotten.
    pub archive: Option<Archive>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Line {
    /// From 0, without holes.
    pub number: i64,
    pub step: i32,
    pub at: Time,
    /// It goes on with the last line of its step before it, which is too long for one.
    pub continues: bool,
    /// What is no text in it is replaced.
    pub text: String,
}

/// Lines that follow each other, as many whole chunks of them as were asked for.
#[derive(Debug)]
pub struct Page {
    pub lines: Vec<Line>,
    /// There are no more, by now.
    pub is_last: bool,
}

/// As [`Page`], as they were written: each line ended by a line feed.
#[derive(Debug)]
pub struct Raw {
    pub bytes: Vec<u8>,
    /// The number of the line after these.
    pub next_line: i64,
}

/// Lines from number `from` on, in order: at most `limit` of them, and fewer when they are long, but at least one if
/// there is one.
pub async fn read(logs: &Logs, build_id: Uuid, from: i64, limit: usize) -> Result<Vec<Line>> {
    let mut lines: Vec<Line> = Vec::new();
    let mut next = from.max(0);
    let mut bytes = 0;
    while lines.len() < limit && bytes < READ_BYTES {
        let found = stored(logs, build_id, next, READ_PAGE).await?;
        for chunk in &found.chunks {
            bytes += i64::from(chunk.entry.byte_count);
            let wanted = limit - lines.len();
            lines.extend(chunk.lines().filter(|line| line.number >= next).take(wanted));
            next = chunk.entry.next_line();
        }
        if found.is_last {
            break;
        }
    }
    Ok(lines)
}

/// The page at line `from`: about `bytes` of text, and at least a chunk.
pub async fn page(logs: &Logs, build_id: Uuid, from: i64, bytes: i64) -> Result<Page> {
    let Found { chunks, is_last } = stored(logs, build_id, from, bytes).await?;
    let lines = chunks.iter().flat_map(Stored::lines).filter(|line| line.number >= from).collect();
    Ok(Page { lines, is_last })
}

/// As [`page`], as it was written.
pub async fn raw(logs: &Logs, build_id: Uuid, from: i64, bytes: i64) -> Result<Raw> {
    let mut raw = Raw { bytes: Vec::new(), next_line: from };
    for chunk in stored(logs, build_id, from, bytes).await?.chunks {
        raw.bytes.extend_from_slice(chunk.text_from(raw.next_line));
        raw.next_line = chunk.entry.next_line();
    }
    Ok(raw)
}

/// Chunks that follow each other.
#[derive(Debug, Default)]
struct Found {
    chunks: Vec<Stored>,
    /// There are no more, by now.
    is_last: bool,
}

#[derive(FromRow)]
struct Place {
    day: Date,
    line_count: i64,
    #[sqlx(flatten)]
    object: archive::Place,
}

/// The chunks from that on which holds line `from`. How many lines there are is read before them: what is written
/// meanwhile is found by the next look.
async fn stored(logs: &Logs, build_id: Uuid, from: i64, bytes: i64) -> Result<Found> {
    let place: Option<Place> = sqlx::query_as(
        "select day, line_count, object, object_bytes, index_bytes from build_log
         where build_id = $1 and expired_at is null",
    )
    .bind(build_id)
    .fetch_optional(&logs.db)
    .await?;
    let Some(Place { day, line_count, object }) = place.filter(|it| it.line_count > from) else {
        return Ok(Found { chunks: Vec::new(), is_last: true });
    };
    let chunks = match (&logs.archive, object.known()) {
        (Some(archive), Some(object)) => archive::read(archive, &object, from, bytes).await?,
        _ => {
            let frames = frames(&logs.db, day, build_id, from, bytes).await?;
            frames.into_iter().map(Frame::unpack).collect::<Result<_>>()?
        }
    };
    let is_last = chunks.last().is_none_or(|last| last.entry.next_line() >= line_count);
    Ok(Found { chunks, is_last })
}

/// A chunk's row.
#[derive(FromRow)]
pub(super) struct Frame {
    #[sqlx(flatten)]
    pub(super) entry: Entry,
    is_plain: bool,
    body: Vec<u8>,
}

impl Frame {
    fn unpack(self) -> Result<Stored> {
        if self.is_plain {
            return Ok(Stored { entry: self.entry, text: self.body });
        }
        Stored::unpack(self.entry, &self.body)
    }

    /// Compressed, as are all but the oldest.
    pub(super) fn compressed(self) -> std::io::Result<Vec<u8>> {
        if self.is_plain { zstd::bulk::compress(&self.body, 0) } else { Ok(self.body) }
    }
}

/// About `bytes` of text from the chunk on that holds line `from`, and at least a chunk if there is one. Only what is
/// answered leaves the disk: bodies are stored apart from what is summed up here.
pub(super) async fn frames(
    db: &PgPool,
    day: Date,
    build_id: Uuid,
    from: i64,
    bytes: i64,
) -> Result<Vec<Frame>> {
    Ok(sqlx::query_as(
        "select first_line, line_count, step, continues, at, byte_count, is_plain, body from (
             select *, sum(byte_count) over (order by first_line) - byte_count as before
             from (select * from log_chunk where day = $1 and build_id = $2
                       and first_line >= coalesce((select max(first_line) from log_chunk
                           where day = $1 and build_id = $2 and first_line <= $3), 0)
                   order by first_line limit $4) as near
         ) as measured where before < $5 order by first_line",
    )
    .bind(day.to_jiff().to_sqlx())
    .bind(build_id)
    .bind(from)
    .bind(PAGE_CHUNKS)
    .bind(bytes)
    .fetch_all(db)
    .await?)
}

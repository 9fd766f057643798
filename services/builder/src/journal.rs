//! Writes what a build does as it goes: steps and log lines, in batches, each of them fenced by the job's lease.
//!
//! Two loops, side by side: one gathers what comes and compresses it, the other one writes it. What waits before and
//! between them is bounded by its bytes. When the database is slower than the build, or away, both fill, then BuildKit
//! keeps what its steps write, and the build goes on.

mod batch;
mod quota;
#[cfg(test)]
mod tests;

use std::time::Duration;

use anyhow::Result;
use buildkit::bounded::{self, Receiver, Sender};
use buildkit::progress::{Event, Line};
use redact::Redactor;
use sqlx::PgPool;
use store::bell::{self, Channel};
use store::build::Build;
use store::log;
use store::queue::Job;
use tokio::time::Instant;

use self::batch::{Batch, Sealed};
use self::quota::Quota;

/// The first event after a pause is written at once; what follows waits this long for company.
const FLUSH_EVERY: Duration = Duration::from_millis(100);
/// Lines that become one chunk, if they are of one step.
const FLUSH_BYTES: usize = 256 << 10;
/// What waits to be gathered: a message of BuildKit and the longest line.
const EVENTS_BYTES: u32 = 4 << 20;
/// What waits to be written, compressed: 50 MB of an ordinary log.
const SEALED_BYTES: u32 = 8 << 20;
/// Compressed bytes that are written in one transaction.
const WRITE_BYTES: usize = 1 << 20;
/// How long a write that fails is tried: longer than a lease outlives a database that is away.
const WRITE_PATIENCE: Duration = Duration::from_secs(40);
const WRITE_PAUSE: Duration = Duration::from_millis(500);
/// The step of lines that are the build's own.
const BUILD: i32 = 0;

/// Where a build's events go.
#[derive(Debug)]
pub struct Log {
    events: Sender<Event>,
    redactor: Redactor,
}

impl Log {
    /// A line of the builder itself.
    pub async fn say(&self, text: String) {
        let text = format!("builder: {}", self.redactor.redact(&text));
        let line = Event::Line(Line { step: BUILD, bytes: text.into_bytes(), continues: false });
        let bytes = line.bytes();
        if self.events.send(line, bytes).await.is_err() {
            tracing::debug!("a build's log is closed");
        }
    }

    pub const fn events(&self) -> &Sender<Event> {
        &self.events
    }

    /// Knows what no line may show.
    pub const fn redactor(&self) -> &Redactor {
        &self.redactor
    }
}

pub fn open(redactor: Redactor) -> (Log, Receiver<Event>) {
    let (events, receiver) = bounded::channel(EVENTS_BYTES);
    (Log { events, redactor }, receiver)
}

/// Writes until every [`Log`] is gone; of one build at most `limit` bytes. Once the lease is lost nothing more is
/// written, and what comes is dropped.
pub async fn write(db: &PgPool, job: &Job, build: &Build, limit: u64, events: Receiver<Event>) -> Result<()> {
    // Steps are numbered over all attempts, BuildKit's over one.
    let before = log::steps(db, build.id).await?.last().map_or(0, |step| step.number);
    let extent = log::extent(db, build.id).await?;
    let quota = Quota::new(limit, u64::try_from(extent.byte_count)?);
    let batch = Batch::new(job.attempt, before, quota);
    let (ready, sealed) = bounded::channel(SEALED_BYTES);
    let writer = Writer { db, job, build, next_line: extent.line_count };
    tokio::try_join!(gather(batch, events, ready), write_all(writer, sealed))?;
    Ok(())
}

/// Events to sealed batches.
async fn gather(mut batch: Batch, mut events: Receiver<Event>, ready: Sender<Sealed>) -> Result<()> {
    let mut flush_at = Instant::now();
    while let Some(first) = events.recv().await {
        batch.add(first);
        while batch.bytes() < FLUSH_BYTES {
            match tokio::time::timeout_at(flush_at, events.recv()).await {
                Ok(Some(event)) => batch.add(event),
                Ok(None) | Err(_) => break,
            }
        }
        hand_over(&mut batch, &ready).await?;
        flush_at = Instant::now() + FLUSH_EVERY;
    }
    batch.end();
    hand_over(&mut batch, &ready).await
}

async fn hand_over(batch: &mut Batch, ready: &Sender<Sealed>) -> Result<()> {
    let sealed = batch.seal()?;
    let bytes = sealed.bytes();
    if !sealed.is_empty() {
        // The other side ends with an error of its own, which is the one to tell.
        let _ = ready.send(sealed, bytes).await;
    }
    Ok(())
}

struct Writer<'a> {
    db: &'a PgPool,
    job: &'a Job,
    build: &'a Build,
    /// The number of the next line, if all is written that was said.
    next_line: i64,
}

async fn write_all(mut writer: Writer<'_>, mut sealed: Receiver<Sealed>) -> Result<()> {
    let mut is_held = true;
    while let Some(mut together) = sealed.recv().await {
        while together.bytes() < WRITE_BYTES {
            let Some(more) = sealed.try_recv() else { break };
            together.add(more);
        }
        if is_held {
            is_held = writer.flush(&together).await?;
        }
    }
    Ok(())
}

impl Writer<'_> {
    /// `false`: the lease is lost.
    async fn flush(&mut self, sealed: &Sealed) -> Result<bool> {
        let count: i64 = sealed.chunks.iter().map(|chunk| i64::from(chunk.line_count())).sum();
        let after = self.next_line + count;
        let batch = log::Batch { steps: &sealed.steps, chunks: &sealed.chunks, dropped: sealed.dropped };
        let started = Instant::now();
        let is_held = loop {
            match log::append(self.db, self.job, self.build.id, &batch).await {
                Ok(is_held) => break is_held,
                Err(error) if started.elapsed() < WRITE_PATIENCE => {
                    tracing::warn!("writing a build's log: {error:#}");
                }
                Err(error) => return Err(error),
            }
            tokio::time::sleep(WRITE_PAUSE).await;
            // The connection may have broken after the commit: then the lines are there.
            if count > 0 && matches!(log::line_count(self.db, self.build.id).await, Ok(n) if n == after) {
                break true;
            }
        };
        self.next_line = after;
        bell::ring(self.db, Channel::Build, &self.build.id.to_string()).await;
        Ok(is_held)
    }
}

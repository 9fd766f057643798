//! Writes what a build does as it goes: steps and log lines, in batches, each of them fenced by the job's lease.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use buildkit::progress::{Event, Line, Step};
use sqlx::PgPool;
use store::bell::{self, Channel};
use store::build::Build;
use store::log::{Lines, StepUpdate};
use store::queue::Job;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// The first event after a pause is written at once; what follows waits this long for company.
const FLUSH_EVERY: Duration = Duration::from_millis(100);
const FLUSH_BYTES: usize = 64 << 10;
/// What a build may write in one attempt.
const LOG_MAX: usize = 64 << 20;
/// A build that writes faster than PostgreSQL waits, and BuildKit with it.
const EVENTS_MAX: usize = 1024;
/// How often a write that failed is tried: about as long as a lease lasts.
const WRITE_TRIES: u32 = 20;
const WRITE_PAUSE: Duration = Duration::from_millis(500);
/// The step of lines that are the build's own.
const BUILD: i32 = 0;

/// Where a build's events go.
#[derive(Debug)]
pub(crate) struct Log {
    events: mpsc::Sender<Event>,
}

impl Log {
    /// A line of the builder itself.
    pub(crate) async fn say(&self, text: String) {
        let line = Event::Line(Line { step: BUILD, text: format!("builder: {text}") });
        if self.events.send(line).await.is_err() {
            tracing::debug!("a build's log is closed");
        }
    }

    pub(crate) const fn events(&self) -> &mpsc::Sender<Event> {
        &self.events
    }
}

pub(crate) fn open() -> (Log, mpsc::Receiver<Event>) {
    let (sender, receiver) = mpsc::channel(EVENTS_MAX);
    (Log { events: sender }, receiver)
}

/// Writes until every [`Log`] is gone. Once the lease is lost nothing more is written, and what comes is dropped.
pub(crate) async fn write(
    db: &PgPool,
    job: &Job,
    build: &Build,
    mut events: mpsc::Receiver<Event>,
) -> Result<()> {
    // Steps are numbered over all attempts, BuildKit's over one.
    let before = store::log::steps(db, build.id).await?.last().map_or(0, |step| step.number);
    let mut journal = Journal {
        next_line: store::log::line_count(db, build.id).await?,
        batch: Batch::new(job.attempt, before),
        db,
        job,
        build,
    };
    let mut flush_at = Instant::now();
    let mut held = true;
    while let Some(first) = events.recv().await {
        journal.batch.add(first);
        while journal.batch.bytes < FLUSH_BYTES {
            match tokio::time::timeout_at(flush_at, events.recv()).await {
                Ok(Some(event)) => journal.batch.add(event),
                Ok(None) | Err(_) => break,
            }
        }
        if held {
            held = journal.flush().await?;
        } else {
            journal.batch.take();
        }
        flush_at = Instant::now() + FLUSH_EVERY;
    }
    if held && journal.batch.end() {
        journal.flush().await?;
    }
    Ok(())
}

struct Journal<'a> {
    db: &'a PgPool,
    job: &'a Job,
    build: &'a Build,
    batch: Batch,
    /// The number of the next line, if all is written that was said.
    next_line: i64,
}

impl Journal<'_> {
    /// `false`: the lease is lost.
    async fn flush(&mut self) -> Result<bool> {
        let (steps, lines) = self.batch.take();
        let count: usize = lines.iter().map(|chunk| chunk.lines.len()).sum();
        let after = self.next_line + i64::try_from(count)?;
        let mut tries = 0;
        let held = loop {
            match store::log::append(self.db, self.job, self.build.id, &steps, &lines).await {
                Ok(held) => break held,
                Err(error) if tries < WRITE_TRIES => tracing::warn!("writing a build's log: {error:#}"),
                Err(error) => return Err(error),
            }
            tries += 1;
            tokio::time::sleep(WRITE_PAUSE).await;
            // The connection may have broken after the commit: then the lines are there.
            if count > 0
                && matches!(store::log::line_count(self.db, self.build.id).await, Ok(n) if n == after)
            {
                break true;
            }
        };
        self.next_line = after;
        bell::ring(self.db, Channel::Build, &self.build.id.to_string()).await;
        Ok(held)
    }
}

/// What is to be written next. Pure.
#[derive(Debug)]
struct Batch {
    attempt: i32,
    steps_before: i32,
    steps: BTreeMap<i32, StepUpdate>,
    lines: Vec<Lines>,
    bytes: usize,
    /// Of the whole attempt.
    logged: usize,
    dropped: usize,
}

impl Batch {
    fn new(attempt: i32, steps_before: i32) -> Batch {
        let (steps, lines) = (BTreeMap::new(), Vec::new());
        Batch { attempt, steps_before, steps, lines, bytes: 0, logged: 0, dropped: 0 }
    }

    fn add(&mut self, event: Event) {
        match event {
            Event::Step(step) => {
                let step = self.update(step);
                self.bytes += step.name.len();
                self.steps.insert(step.number, step);
            }
            Event::Line(line) if line.step == BUILD => self.push(BUILD, line.text),
            Event::Line(line) => self.add_line(line),
        }
    }

    fn update(&self, step: Step) -> StepUpdate {
        StepUpdate {
            number: self.steps_before + step.number,
            attempt: self.attempt,
            name: step.name,
            cached: step.cached,
            error: step.error,
            started_at: step.started,
            completed_at: step.completed,
        }
    }

    fn add_line(&mut self, line: Line) {
        self.logged += line.text.len() + 1;
        if self.logged <= LOG_MAX {
            return self.push(self.steps_before + line.step, line.text);
        }
        if self.dropped == 0 {
            let limit = LOG_MAX >> 20;
            self.push(
                BUILD,
                format!("builder: the log is longer than {limit} MiB; what follows of it is dropped"),
            );
        }
        self.dropped += 1;
    }

    /// Lines of one step stay in order and come together; lines of the build stay in their place among all.
    fn push(&mut self, step: i32, text: String) {
        self.bytes += text.len() + 1;
        let after_build = self.lines.iter().rposition(|chunk| chunk.step == BUILD).map_or(0, |at| at + 1);
        let from = if step == BUILD { self.lines.len().saturating_sub(1) } else { after_build };
        match self.lines[from..].iter_mut().find(|chunk| chunk.step == step) {
            Some(chunk) => chunk.lines.push(text),
            None => self.lines.push(Lines { step, lines: vec![text] }),
        }
    }

    /// Says how many lines were dropped, if any were.
    fn end(&mut self) -> bool {
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            self.push(BUILD, format!("builder: {dropped} lines were dropped"));
        }
        dropped > 0
    }

    fn take(&mut self) -> (Vec<StepUpdate>, Vec<Lines>) {
        self.bytes = 0;
        (std::mem::take(&mut self.steps).into_values().collect(), std::mem::take(&mut self.lines))
    }
}

#[cfg(test)]
mod tests;

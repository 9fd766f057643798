//! The one loop of every role that takes jobs: sweep, claim, beat beside the handler, hand back on shutdown.

use std::future::Future;
use std::time::Duration;

use anyhow::Result;
use domain::job::JobKind;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::bell::{self, Channel, Listener};
use crate::queue::{self, Beat, Job, Outcome};

/// Five beats fit into a lease: one lost packet or a slow database does not end it, and a dead worker's job is
/// taken over within this time.
pub const LEASE: Duration = Duration::from_secs(10);
const BEAT: Duration = Duration::from_secs(2);
/// Stands behind the doorbell.
const POLL: Duration = Duration::from_secs(1);
const FORGET_EVERY: Duration = Duration::from_secs(600);
/// How long a handler may take to stop once it was asked to.
const DRAIN: Duration = Duration::from_secs(20);

#[derive(Debug, Clone)]
pub struct Worker {
    pub kinds: &'static [JobKind],
    /// Who holds the leases: the pod's name.
    pub owner: String,
    pub slots: usize,
}

/// Why a handler is to stop before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Something newer waits in the lane.
    Cancelled,
    /// The lease ran out; another worker may run this job now, nothing may be written.
    Lost,
    /// This process ends: finish with [`Outcome::HandBack`].
    Shutdown,
}

/// A job while its handler runs.
#[derive(Debug, Clone)]
pub struct Held {
    pub job: Job,
    stop: watch::Receiver<Option<Stop>>,
}

impl Held {
    /// Returns when the handler is to stop, and why. Meant for `select!` beside the work.
    pub async fn stopped(&self) -> Stop {
        let mut stop = self.stop.clone();
        match stop.wait_for(Option::is_some).await {
            Ok(stop) => stop.unwrap_or(Stop::Lost),
            Err(_) => Stop::Lost,
        }
    }
}

/// Runs `handle` for each job until `shutdown`, at most `slots` at a time. A handler ends its job itself, in the
/// transaction of its domain writes; an error it returns is logged and the job is tried again.
pub async fn run<H, F>(db: PgPool, worker: Worker, shutdown: CancellationToken, handle: H) -> Result<()>
where
    H: Fn(Held) -> F + Clone + Send + 'static,
    F: Future<Output = Result<()>> + Send + 'static,
{
    let rings = watch::Sender::new(());
    let mut listener = Listener::new(db.clone(), Channel::Job);
    let mut running = JoinSet::new();
    let mut sweep = tokio::time::interval(POLL);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut forget = tokio::time::interval(FORGET_EVERY);
    while !shutdown.is_cancelled() {
        loop {
            let jobs = next_jobs(&db, &worker, running.len()).await;
            if jobs.is_empty() {
                break;
            }
            for job in jobs {
                running.spawn(hold(db.clone(), job, rings.subscribe(), shutdown.clone(), handle.clone()));
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = rung(&mut listener, worker.kinds) => rings.send_replace(()),
            Some(_) = running.join_next() => {}
            _ = sweep.tick() => swept(queue::sweep(&db).await),
            _ = forget.tick() => forgot(queue::forget_finished(&db).await),
        }
    }
    let drained = async { while running.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!("a handler did not stop within {} s; its lease will run out", DRAIN.as_secs());
    }
    Ok(())
}

/// Some of what is ready, when slots are free. A database that is away is asked again at the next turn.
async fn next_jobs(db: &PgPool, worker: &Worker, running: usize) -> Vec<Job> {
    let free = worker.slots.saturating_sub(running);
    if free == 0 {
        return Vec::new();
    }
    match queue::claim_up_to(db, worker.kinds, &worker.owner, LEASE, free).await {
        Ok(jobs) => {
            for job in &jobs {
                tracing::info!(job.id, kind = %job.kind.0, %job.subject, job.attempt, "claimed");
            }
            jobs
        }
        Err(error) => {
            tracing::warn!("claiming jobs: {error:#}");
            Vec::new()
        }
    }
}

/// Until it rings for one of `kinds`. A worker that looked at each ring would be in the way of the one that is meant.
async fn rung(listener: &mut Listener, kinds: &[JobKind]) {
    loop {
        let rung = listener.next().await;
        if kinds.iter().any(|kind| kind.as_str() == rung) {
            return;
        }
    }
}

fn forgot(result: Result<u64>) {
    if let Err(error) = result {
        tracing::debug!("forgetting finished jobs: {error:#}");
    }
}

fn swept(result: Result<u64>) {
    match result {
        Ok(0) => {}
        Ok(n) => tracing::warn!("took {n} jobs back from workers that died"),
        Err(error) => tracing::debug!("sweeping the queue: {error:#}"),
    }
}

/// Runs the handler and the heartbeat side by side until the handler ends.
async fn hold<H, F>(
    db: PgPool,
    job: Job,
    mut rings: watch::Receiver<()>,
    shutdown: CancellationToken,
    handle: H,
) where
    H: Fn(Held) -> F,
    F: Future<Output = Result<()>>,
{
    let (stop, stopped) = watch::channel(None);
    let handling = handle(Held { job: job.clone(), stop: stopped });
    let beating = beat(&db, &job, BEAT, &mut rings, &shutdown, &stop);
    let result = tokio::select! {
        result = handling => result,
        never = beating => match never {},
    };
    if let Err(error) = result {
        tracing::error!(job.id, kind = %job.kind.0, "job failed, trying it again: {error:#}");
        if let Err(error) = retry(&db, &job, &format!("{error:#}")).await {
            tracing::warn!(job.id, "could not put the job back: {error:#}");
        }
    }
}

/// Beats for ever, `every` so often and after each ring, one that comes during a beat too: it may bring the wish to stop
/// that the beat did not see. Tells the handler once when it is to stop. The handler's end drops it.
async fn beat(
    db: &PgPool,
    job: &Job,
    every: Duration,
    rings: &mut watch::Receiver<()>,
    shutdown: &CancellationToken,
    stop: &watch::Sender<Option<Stop>>,
) -> std::convert::Infallible {
    let tell = |why: Stop| {
        stop.send_if_modified(|told| told.is_none().then(|| *told = Some(why)).is_some());
    };
    let mut held_at = tokio::time::Instant::now();
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            Ok(()) = rings.changed() => {}
            () = shutdown.cancelled(), if stop.borrow().is_none() => {
                tell(Stop::Shutdown);
                continue;
            }
        }
        match tokio::time::timeout(BEAT, queue::beat(db, job, LEASE)).await {
            Ok(Ok(Beat::Held)) => held_at = tokio::time::Instant::now(),
            Ok(Ok(Beat::CancelRequested)) => {
                held_at = tokio::time::Instant::now();
                tell(Stop::Cancelled);
            }
            Ok(Ok(Beat::Lost)) => tell(Stop::Lost),
            Ok(Err(_)) | Err(_) if held_at.elapsed() > LEASE => tell(Stop::Lost),
            Ok(Err(_)) | Err(_) => {}
        }
    }
}

/// The error was not one the handler knows how to end its subject with: the platform's fault, tried again later and later.
async fn retry(db: &PgPool, job: &Job, error: &str) -> Result<()> {
    let delay = Duration::from_secs(2 << job.attempt.clamp(0, 4));
    let mut tx = db.begin().await?;
    queue::finish(&mut tx, job, Outcome::Retry { error, delay }).await?;
    tx.commit().await?;
    Ok(())
}

/// Rings for each kind of work that was queued; call it after the commit.
pub async fn wake(db: &PgPool, kinds: &[JobKind]) {
    for kind in kinds {
        bell::ring(db, Channel::Job, kind.as_str()).await;
    }
}

#[cfg(test)]
mod tests;

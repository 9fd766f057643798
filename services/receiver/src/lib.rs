//! The receiver: users push here, forges deliver here, branches are resolved here, and commit statuses leave from here.

mod body;
mod git;
mod hook;
mod judge;
mod poll;
mod report;
mod resolve;
mod status;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use domain::job::JobKind;
use gitrepo::bare::Repositories;
use host::site::Site;
use sqlx::PgPool;
use store::queue::{Job, Outcome};
use store::worker::{Held, Worker};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::report::Reporter;
use crate::status::Links;

/// How long a push that is being received may take to end once shutdown has begun; its pod is given longer.
const RECEIVE_DRAIN: Duration = Duration::from_secs(60);
/// How long pushes may take to be settled once shutdown has begun.
const DRAIN: Duration = Duration::from_secs(20);
/// Both kinds of job wait for a forge and cost nothing meanwhile; so many keep one slow forge from stopping the others.
const SLOTS: usize = 8;

#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Where webhook deliveries are taken
    #[arg(long, env = "SLIPWAY_RECEIVER_ADDR", default_value = "0.0.0.0:8081")]
    receiver_addr: SocketAddr,
    /// Ask the forge what a branch is after so many seconds without a delivery (Gogs: at least each minute)
    #[arg(long, env = "SLIPWAY_FORGE_POLL_SECONDS", default_value_t = 180, value_parser = clap::value_parser!(u32).range(5..))]
    forge_poll_seconds: u32,
    /// Where the repositories are kept that are pushed to Slipway itself; only one receiver at a time
    #[arg(long, env = "SLIPWAY_REPOSITORIES_DIR", default_value = "/var/lib/slipway/repositories")]
    repositories_dir: PathBuf,
    /// A push may bring so many MiB at most
    #[arg(long, env = "SLIPWAY_PACK_MAX_MIB", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pack_max_mib: u64,
}

/// Serves hooks and the git remote, runs the jobs `resolve` and `report` and polls the forges, until `shutdown`.
pub async fn run(args: Args, site: Site, db: PgPool, shutdown: CancellationToken) -> Result<()> {
    let links = Links { base_url: site.base_url, base_domain: site.base_domain };
    let git = open(&args, links.clone(), &db, &shutdown).await?;
    let reporter = Reporter { db: db.clone(), http: forge::status::client()?, links };
    let owner = host::site::owner("receiver");
    let worker = |kinds| Worker { kinds, owner: owner.clone(), slots: SLOTS };

    let mut tasks = JoinSet::new();
    let routes = hook::router(db.clone()).merge(git::router(git.clone()));
    tasks.spawn(host::http::serve(routes, args.receiver_addr, shutdown.clone(), RECEIVE_DRAIN));
    tasks.spawn(store::rings::listen(db.clone(), git.rings.clone(), shutdown.clone()));
    tasks.spawn(git::reconcile::run(git.clone()));
    tasks.spawn(git::reconcile::maintain(git.clone()));
    tasks.spawn(poll::run(db.clone(), args.forge_poll_seconds, shutdown.clone()));
    // Two workers: reports that wait for a forge must not keep a push waiting.
    tasks.spawn(store::worker::run(db.clone(), worker(&[JobKind::Resolve]), shutdown.clone(), {
        let db = db.clone();
        move |held: Held| {
            let db = db.clone();
            async move { until_stopped(&db, &held, resolve::resolve(&db, &held.job)).await }
        }
    }));
    tasks.spawn(store::worker::run(db, worker(&[JobKind::Report]), shutdown.clone(), move |held: Held| {
        let reporter = reporter.clone();
        async move { until_stopped(&reporter.db, &held, report::report(&reporter, &held.job)).await }
    }));
    let mut outcome = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.context("a part of the receiver panicked").and_then(|ended| ended);
        if outcome.is_ok() {
            outcome = ended;
        }
        shutdown.cancel();
    }
    // A push that git has taken is accepted before this process ends, if the database is there.
    git.tasks.close();
    if tokio::time::timeout(DRAIN, git.tasks.wait()).await.is_err() {
        tracing::warn!("pushes were still being settled after {} s", DRAIN.as_secs());
    }
    outcome
}

/// Takes the repositories over from a former process and repairs what it left, before anything is served.
async fn open(args: &Args, links: Links, db: &PgPool, shutdown: &CancellationToken) -> Result<Arc<git::Git>> {
    let dir = args.repositories_dir.clone();
    let repositories = tokio::task::spawn_blocking(move || Repositories::open(&dir)).await??;
    let git = git::Git::new(db.clone(), repositories, links, args.pack_max_mib << 20, shutdown.clone());
    git::reconcile::at_start(&git).await?;
    Ok(git)
}

/// Runs a job's work, or drops it and hands the job back: all of it is asking, until one last transaction.
async fn until_stopped(db: &PgPool, held: &Held, work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::select! {
        done = work => done,
        _ = held.stopped() => finish(db, &held.job, Outcome::HandBack).await,
    }
}

/// Ends a job that has nothing else to write. A lease that was lost is somebody else's to end.
async fn finish(db: &PgPool, job: &Job, outcome: Outcome<'_>) -> Result<()> {
    let mut tx = db.begin().await?;
    store::queue::finish(&mut tx, job, outcome).await?;
    tx.commit().await?;
    Ok(())
}

/// How long to wait after the given attempt, which counts from 1.
fn backoff(delays: &[Duration], attempt: i32) -> Duration {
    let index = usize::try_from(attempt - 1).unwrap_or(0);
    delays.get(index).or(delays.last()).copied().unwrap_or_default()
}

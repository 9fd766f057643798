//! The logs' keeper: moves those of builds that have ended to an object store if there is one, and forgets old ones.

use std::time::Duration;

use anyhow::Result;
use domain::garbage::GarbageKind;
use store::garbage;
use store::log::Logs;
use store::log::archive::{self, Archive};
use store::log::day::{self, Tended};
use tokio_util::sync::CancellationToken;
use url::Url;

/// A log is moved within this time of its build's end, or a little more.
const TEND_EVERY: Duration = Duration::from_secs(60);
const COUNT_EVERY_SECONDS: u32 = 60 * 60;

#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    /// Logs are kept for so many days
    #[arg(long, env = "SLIPWAY_LOG_RETENTION", default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    log_retention: u32,
    /// Where logs of builds that have ended go: `s3://BUCKET`, `gs://BUCKET`, `az://CONTAINER` or `file:///FOLDER`, each
    /// with a path behind it if wanted; credentials come from that cloud's usual variables. Without it they stay in PostgreSQL
    #[arg(long, env = "SLIPWAY_LOG_STORE")]
    log_store: Option<Url>,
}

pub(crate) fn archive(args: &Args) -> Result<Option<Archive>> {
    args.log_store.as_ref().map(archive::open).transpose()
}

/// Works until shutdown. Every web process does it: none needs to know of the others.
pub(crate) async fn keep(logs: Logs, args: Args, shutdown: CancellationToken) -> Result<()> {
    let mut turns = tokio::time::interval(TEND_EVERY);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            _ = turns.tick() => {}
        }
        if shutdown.run_until_cancelled(tend(&logs, args.log_retention)).await.is_none() {
            return Ok(());
        }
    }
}

/// One turn; what fails is tried again at the next one.
async fn tend(logs: &Logs, keep_days: u32) {
    let tended = day::tend(logs, keep_days).await;
    let fault = tended.as_ref().err().map(|error| format!("{error:#}"));
    let _ = tell(logs, keep_days, fault.as_deref()).await.inspect_err(untold);
    match tended {
        Ok(tended) if tended == Tended::default() => {}
        Ok(Tended { moved, dropped_days, expired }) => {
            tracing::info!(moved, dropped_days, expired, "tended the logs of builds");
        }
        Err(error) => tracing::warn!("tending the logs of builds: {error:#}"),
    }
}

/// The page shows when they were counted last.
fn untold(error: &anyhow::Error) {
    tracing::debug!("counting the logs of builds: {error:#}");
}

/// The numbers for the page about garbage.
async fn tell(logs: &Logs, keep_days: u32, fault: Option<&str>) -> Result<()> {
    let turn = garbage::take_turn(&logs.db, GarbageKind::Logs, "", COUNT_EVERY_SECONDS).await?;
    match turn {
        Some(_turn) => garbage::record_logs(&logs.db, keep_days, fault).await,
        None => Ok(()),
    }
}

//! Two clients that ask all the time: one on a kept connection, one on a fresh connection each time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use reqwest::Client;
use tokio::task::JoinSet;

use crate::bench::stats::Way;

/// Often enough to meet the gap of a roll-out, and calm enough to leave a machine of two cores to what is measured.
const PAUSE: Duration = Duration::from_millis(20);
/// A request without an answer after this long is lost.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many lost requests of one client are described; all are counted.
const DESCRIBED_MAX: u64 = 3;

/// An address to ask, and the host name to ask it for.
#[derive(Debug, Clone)]
pub struct Target {
    pub url: String,
    pub host: Option<String>,
}

impl Target {
    pub async fn ask(&self, http: &Client) -> reqwest::Result<String> {
        let mut request = http.get(&self.url);
        if let Some(host) = &self.host {
            request = request.header("host", host);
        }
        request.send().await?.error_for_status()?.text().await
    }
}

/// A client that gives up an answer after `timeout`.
pub fn client(kept: bool, timeout: Duration) -> Result<Client> {
    let builder = Client::builder().timeout(timeout);
    Ok(if kept { builder } else { builder.pool_max_idle_per_host(0) }.build()?)
}

#[derive(Debug, Default)]
struct Counts {
    asked: AtomicU64,
    failed_kept: AtomicU64,
    failed_fresh: AtomicU64,
}

/// The clients while they ask.
#[derive(Debug)]
pub struct Asking {
    counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

pub fn start(target: &Target) -> Result<Asking> {
    let (counts, stop, mut tasks) =
        (Arc::new(Counts::default()), Arc::new(AtomicBool::new(false)), JoinSet::new());
    for kept in [true, false] {
        let (target, counts, stop, http) =
            (target.clone(), counts.clone(), stop.clone(), client(kept, PATIENCE)?);
        tasks.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let answer = target.ask(&http).await;
                counts.asked.fetch_add(1, Ordering::Relaxed);
                if let Err(error) = answer {
                    let failed = if kept { &counts.failed_kept } else { &counts.failed_fresh };
                    if failed.fetch_add(1, Ordering::Relaxed) < DESCRIBED_MAX {
                        report(&error, kept);
                    }
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
    Ok(Asking { counts, stop, tasks })
}

#[expect(clippy::print_stderr, reason = "a bench says what it met")]
fn report(error: &reqwest::Error, kept: bool) {
    eprintln!("  a request was lost ({} connection): {error:?}", if kept { "kept" } else { "fresh" });
}

/// Ends the clients and adds what they lost to `way`.
pub async fn stop(mut asking: Asking, way: &mut Way) {
    asking.stop.store(true, Ordering::Relaxed);
    while asking.tasks.join_next().await.is_some() {}
    way.asked += asking.counts.asked.load(Ordering::Relaxed);
    way.failed_kept += asking.counts.failed_kept.load(Ordering::Relaxed);
    way.failed_fresh += asking.counts.failed_fresh.load(Ordering::Relaxed);
}

//! `cargo xtask bench push`: from `git push` to the new version being served, Slipway beside the plain way,
//! alternating rounds on one cluster, while clients ask both all the time.

#![allow(clippy::print_stdout, reason = "a bench prints its results")]

use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use clap::Parser;
use harness::app;
use harness::bench::clients::{self, Target};
use harness::bench::plain::{self, Plain, Tools};
use harness::bench::stats::{self, Way};
use harness::platform::Platform;
use harness::remote::{self, Remote};
use serde_json::json;

/// Times a one-line change from `git push` to being served.
#[derive(Debug, Parser)]
struct Arguments {
    /// Rounds of each way
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Write the results here as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    #[command(flatten)]
    tools: Tools,
}

const SOURCE: &str = "node";
const FILE: &str = "public/index.html";
const FIRST: &str = "demo v1";
/// How often the page is asked for the new version.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// A look that meets a dying pod hangs; it must not hide that the new version is there.
const LOOK_AT_MOST: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_secs(120);
/// Before each push: the pods that the push before it replaced end meanwhile, at the cost of neither way.
const SETTLE: Duration = Duration::from_secs(4);

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let platform = Platform::from_env()?;
    println!("setting up both ways with tests/apps/{SOURCE}");
    let plain = plain::set_up(&platform, &arguments.tools, SOURCE, FIRST).await?;
    let slipway = remote::create(&platform, "bench", SOURCE).await?;
    push(&slipway).await?;
    app::serves(&platform, &slipway.app, FIRST).await?;

    let (plain_way, slipway_way) = measure(&platform, &plain, &slipway, arguments.rounds).await?;
    plain::tear_down(&platform).await?;
    for (name, way) in [("plain", &plain_way), ("slipway", &slipway_way)] {
        println!(
            "{name:8} p50 {:5} ms  p90 {:5} ms  {} of {} requests failed (kept connection {}, fresh {})",
            way.percentile_ms(50),
            way.percentile_ms(90),
            way.failed(),
            way.asked,
            way.failed_kept,
            way.failed_fresh,
        );
    }
    let ratio = stats::ratio_p50(&plain_way, &slipway_way);
    println!("slipway / plain, p50: {ratio}");
    if let Some(path) = arguments.json {
        let result = json!({
            "rounds": arguments.rounds, "plain": plain_way.to_json(), "slipway": slipway_way.to_json(), "ratio_p50": ratio,
        });
        std::fs::write(&path, format!("{result:#}\n"))?;
    }
    Ok(())
}

async fn measure(platform: &Platform, plain: &Plain, slipway: &Remote, rounds: usize) -> Result<(Way, Way)> {
    let port = platform.base_domain().rsplit_once(':').map_or("80", |(_, port)| port);
    let target = Target {
        url: format!("http://127.0.0.1:{port}/"),
        host: Some(format!("main--{}.{}", slipway.app.name, platform.base_domain())),
    };
    let (mut plain_way, mut slipway_way) = (Way::default(), Way::default());
    let (plain_clients, slipway_clients) = (clients::start(&plain.target)?, clients::start(&target)?);
    for round in 1..=rounds {
        let marker = format!("plain round {round} ");
        app::replace_title(&plain.tree.join(FILE), &marker)?;
        plain::commit(plain, &marker).await?;
        let plain_took = timed(&plain.target, &marker, plain::push_committed(plain)).await?;

        let marker = format!("slipway round {round} ");
        app::replace_title(&slipway.tree.path.join(FILE), &marker)?;
        remote::commit(&slipway.tree, &marker).await?;
        let slipway_took = timed(&target, &marker, push(slipway)).await?;

        println!(
            "round {round:2}: plain {:5} ms, slipway {:5} ms",
            plain_took.as_millis(),
            slipway_took.as_millis()
        );
        plain_way.rounds.push(plain_took);
        slipway_way.rounds.push(slipway_took);
    }
    clients::stop(plain_clients, &mut plain_way).await;
    clients::stop(slipway_clients, &mut slipway_way).await;
    Ok((plain_way, slipway_way))
}

async fn push(slipway: &Remote) -> Result<()> {
    let said = remote::push(slipway, &["--quiet"], &["main"]).await?;
    ensure!(said.code == Some(0), "the push failed: {}", said.text);
    Ok(())
}

/// From the start of `push` to the first answer that carries `marker`; also waits for the push to end.
async fn timed(target: &Target, marker: &str, push: impl Future<Output = Result<()>>) -> Result<Duration> {
    tokio::time::sleep(SETTLE).await;
    let http = clients::client(false, LOOK_AT_MOST)?;
    let started = Instant::now();
    let look = async {
        while started.elapsed() < PATIENCE {
            if target.ask(&http).await.is_ok_and(|page| page.contains(marker)) {
                return Ok(started.elapsed());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!("{marker:?} was not served within {} s", PATIENCE.as_secs())
    };
    let (took, ()) = tokio::try_join!(look, push)?;
    Ok(took)
}

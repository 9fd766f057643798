//! `cargo xtask bench git`: what a push to Slipway's own remote costs more than one to a bare repository on the same disk.
//!
//! Each round pushes the same commit both ways: to a plain bare repository by its path, timed until `git push` has ended,
//! and to the real receiver, timed until a builder has claimed the build. Builds are played: they are not measured here.

#![allow(clippy::print_stdout, reason = "a bench prints its results")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use clap::Parser;
use harness::bench::stats::{ms, percentile};
use harness::player::{self, Claim, End, Script};
use harness::tree::{self, Tree};
use harness::{app, database, receiver, wait};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Times a push of one changed line, both ways.
#[derive(Debug, Parser)]
struct Arguments {
    /// Rounds of each way, after three that are not counted
    #[arg(long, default_value_t = 30)]
    rounds: usize,
    /// Write the results here as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Both repositories are below this folder, and so on one disk
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    #[arg(long, env = "DATABASE_URL", hide = true, hide_env_values = true)]
    database_url: String,
    #[arg(long, env = "SLIPWAY_SLIPWAYD", hide = true)]
    slipwayd: PathBuf,
}

const WARM_UP: usize = 3;
const APP: &str = "bench";
const SOURCE: &str = "node";
const FILE: &str = "public/index.html";
const PLAIN: &str = "plain";
const SLIPWAY: &str = "slipway";
const ASKED: f64 = 1.5;
const PATIENCE: Duration = Duration::from_secs(30);
/// The build is over before the next round begins, and does not run while a push is measured.
const SCRIPT: Script =
    Script { builds_for: Duration::from_millis(1), rolls_out_for: Duration::from_millis(1), end: End::Live };

/// What the rounds of both ways took.
#[derive(Debug, Default)]
struct Took {
    plain: Vec<Duration>,
    claimed: Vec<Duration>,
    /// Until `git push` has ended, which nobody asked to be short.
    ended: Vec<Duration>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let database = database::create(&arguments.database_url, "bench_git").await?;
    let folder = tempfile::tempdir_in(&arguments.dir)?;
    let shutdown = CancellationToken::new();
    let (claims, claimed) = unbounded_channel();
    let mut playing = JoinSet::new();
    playing.spawn(player::run(database.db.clone(), Arc::new(|_| SCRIPT), claims, shutdown.clone()));
    let measured = tokio::select! {
        measured = measure(&arguments, &database, folder.path(), claimed) => measured,
        ended = playing.join_next() => Err(anyhow!("builds are no longer played: {ended:?}")),
        _ = tokio::signal::ctrl_c() => Err(anyhow!("interrupted")),
    };
    shutdown.cancel();
    while playing.join_next().await.is_some() {}
    database::drop(database).await?;
    report(&arguments, &measured?)
}

async fn measure(
    arguments: &Arguments,
    database: &database::Database,
    folder: &Path,
    mut claimed: UnboundedReceiver<Claim>,
) -> Result<Took> {
    let repositories = folder.join("repositories");
    std::fs::create_dir(&repositories)?;
    let log = folder.join("receiver.log");
    let ours = receiver::new(&arguments.slipwayd, &database.url, repositories, log)?;
    let process = receiver::start(&ours)?;
    receiver::serves(&ours).await?;

    let token = uuid::Uuid::new_v4().to_string();
    store::token::ensure_bootstrap(&database.db, &token).await?;
    let mut tree = tree::create(&folder.join("tree"), "Bench").await?;
    tree::set_header(&mut tree, receiver::authorization(&token));
    let bare = folder.join("plain.git").to_string_lossy().into_owned();
    tree::git(&tree, &["init", "--quiet", "--bare", &bare]).await?;
    tree::git(&tree, &["remote", "add", PLAIN, &bare]).await?;
    tree::git(&tree, &["remote", "add", SLIPWAY, &receiver::remote(&ours, APP)]).await?;
    let source = app::sources().join(SOURCE);
    let copied = tokio::process::Command::new("cp").arg("-rT").arg(source).arg(&tree.path).status().await?;
    anyhow::ensure!(copied.success(), "copying {SOURCE}");

    let mut took = Took::default();
    for round in 0..WARM_UP + arguments.rounds {
        app::replace_title(&tree.path.join(FILE), &format!("round {round}"))?;
        let commit = tree::commit(&tree, &format!("Round {round}"), round as u64).await?;
        // Neither way always finds the commit's objects already read by the other one.
        let plain_first = round % 2 == 0;
        let mut plain = Duration::ZERO;
        if plain_first {
            plain = push_plain(&tree).await?;
        }
        let (until_claimed, until_ended) = push_slipway(&tree, &commit, &mut claimed).await?;
        if !plain_first {
            plain = push_plain(&tree).await?;
        }
        until_live(&database.db, &commit).await?;
        if round < WARM_UP {
            continue;
        }
        println!(
            "round {:2}: plain {:6.2} ms, slipway {:6.2} ms until claimed, {:6.2} ms until `git push` has ended",
            round + 1 - WARM_UP,
            ms(plain),
            ms(until_claimed),
            ms(until_ended)
        );
        took.plain.push(plain);
        took.claimed.push(until_claimed);
        took.ended.push(until_ended);
    }
    drop(process);
    Ok(took)
}

async fn push_plain(tree: &Tree) -> Result<Duration> {
    let started = Instant::now();
    tree::git(tree, &["push", PLAIN, "main"]).await?;
    Ok(started.elapsed())
}

async fn push_slipway(
    tree: &Tree,
    commit: &str,
    claimed: &mut UnboundedReceiver<Claim>,
) -> Result<(Duration, Duration)> {
    let started = Instant::now();
    tree::git(tree, &["push", "-o", "wait=queued", SLIPWAY, "main"]).await?;
    let until_ended = started.elapsed();
    let claim =
        tokio::time::timeout(PATIENCE, claimed.recv()).await.context("the build was never claimed")?;
    let (of, at) = claim.context("builds are no longer played")?;
    anyhow::ensure!(of == commit, "a build of {of} was claimed instead of {commit}");
    Ok((at - started, until_ended))
}

/// The head has moved, so that the next push is of one commit.
async fn until_live(db: &PgPool, commit: &str) -> Result<()> {
    wait::until(&format!("{commit} to be live"), PATIENCE, || async {
        let app = store::app::by_name(db, APP).await?.context("there is no application")?;
        let heads = store::branch::heads(db, app.id).await?;
        Ok(if heads.iter().any(|(_, head)| head == commit) { Ok(()) } else { Err(heads) })
    })
    .await
}

fn report(arguments: &Arguments, took: &Took) -> Result<()> {
    let ways = [("plain", &took.plain), ("slipway", &took.claimed), ("(ended)", &took.ended)];
    for (name, rounds) in ways {
        let [p50, p90, min] = [50, 90, 0].map(|percent| ms(percentile(rounds, percent)));
        println!("{name:8} p50 {p50:6.2} ms  p90 {p90:6.2} ms  min {min:6.2} ms");
    }
    let p50 = |rounds: &[Duration]| percentile(rounds, 50).as_secs_f64();
    let ratio = p50(&took.claimed) / p50(&took.plain).max(f64::EPSILON);
    let ratio = (ratio * 1000.0).round() / 1000.0;
    println!("slipway / plain, p50: {ratio} (asked: at most {ASKED})");
    if let Some(path) = &arguments.json {
        let of = |rounds: &[Duration]| -> Value {
            json!({"p50_ms": ms(percentile(rounds, 50)), "p90_ms": ms(percentile(rounds, 90))})
        };
        let result = json!({
            "rounds": arguments.rounds, "plain": of(&took.plain), "slipway": of(&took.claimed),
            "slipway_push_ended": of(&took.ended), "ratio_p50": ratio,
        });
        std::fs::write(path, format!("{result:#}\n"))?;
    }
    Ok(())
}

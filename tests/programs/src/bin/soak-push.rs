//! `cargo xtask soak push`: kills the real receiver and its git processes at random while users push, breaks its database
//! and fills its disk, and counts afterwards: no acknowledged push is lost, none is built twice, nothing is left behind.
//!
//! Everything is decided by the seed, which is printed first; what the machine makes of it, no seed repeats.

#![allow(clippy::print_stdout, reason = "a soak prints its results")]

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use clap::Parser;
use domain::scope::Scope;
use harness::database::{self, Database};
use harness::player::{self, End, Script};
use harness::receiver::{self, Receiver};
use harness::soak::audit::{self, Findings};
use harness::soak::counts::Counts;
use harness::soak::faults::Site;
use harness::soak::pusher::{self, Asked, Pusher, Scripts};
use harness::soak::volume::{self, Volume};
use harness::soak::{keeper, leftover, schedule};
use harness::tree;
use serde_json::json;
use store::app::NewApp;
use store::token::NewToken;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Kills the receiver while users push, and counts what became of their pushes.
#[derive(Debug, Parser)]
struct Arguments {
    /// So many times something is killed
    #[arg(long, default_value_t = 300)]
    kills: usize,
    /// Replays the decisions of an earlier soak, which printed it
    #[arg(long)]
    seed: Option<u64>,
    /// Write the counts here as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Only kill: leave the database and the disk whole
    #[arg(long)]
    no_faults: bool,
    /// Repositories and work trees are below this folder
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    #[arg(long, env = "DATABASE_URL", hide = true, hide_env_values = true)]
    database_url: String,
    #[arg(long, env = "SLIPWAY_SLIPWAYD", hide = true)]
    slipwayd: PathBuf,
}

const PUSHERS: usize = 8;
/// Some applications have two pushers, each on a branch of its own.
const APPS: usize = 6;
const SAY_EVERY: Duration = Duration::from_secs(10);
/// The reconciler looks each minute, and settles what it finds.
const SETTLE_MAX: Duration = Duration::from_secs(100);
const SETTLE_LOOK: Duration = Duration::from_secs(2);
/// So many findings of a kind are printed; all are counted.
const PRINTED_MAX: usize = 20;
const WHOEVER: Script = Script {
    builds_for: Duration::from_millis(10),
    rolls_out_for: Duration::from_millis(10),
    end: End::Live,
};

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    println!("seed {seed}");
    let started = Instant::now();
    let database = database::create(&arguments.database_url, "soak_push").await?;
    let folder = tempfile::Builder::new().prefix("soak-push-").tempdir_in(&arguments.dir)?;
    let counts = Arc::new(Counts::default());
    let soaked = tokio::select! {
        soaked = soak(&arguments, seed, &database, folder.path(), counts.clone()) => soaked,
        never = progress(&counts, started) => match never {},
        _ = tokio::signal::ctrl_c() => Err(anyhow!("interrupted")),
    };
    database::drop(database).await?;
    let Soaked { findings, left } = soaked?;
    let is_well = report(&arguments, seed, &counts, &findings, &left, started.elapsed())?;
    if !is_well {
        println!("the receiver's log: {}", folder.keep().join(LOG).display());
        std::process::exit(1);
    }
    Ok(())
}

const LOG: &str = "receiver.log";

struct Soaked {
    findings: Findings,
    left: Vec<String>,
}

async fn soak(
    arguments: &Arguments,
    seed: u64,
    database: &Database,
    folder: &Path,
    counts: Arc<Counts>,
) -> Result<Soaked> {
    let repositories = folder.join("repositories");
    std::fs::create_dir(&repositories)?;
    let small = if arguments.no_faults { None } else { small(folder, &repositories) };
    audit::watch(&database.db).await?;
    let ours = receiver::new(&arguments.slipwayd, &database.url, repositories.clone(), folder.join(LOG))?;
    let scripts = Scripts::default();
    let (done, stop) = (CancellationToken::new(), CancellationToken::new());
    let mut background = JoinSet::new();
    let site = Site {
        superuser: database.superuser.clone(),
        database: database.name.clone(),
        db: database.db.clone(),
        repositories: repositories.clone(),
        is_small: small.is_some(),
    };
    let steps = schedule::steps(seed, arguments.kills, !arguments.no_faults);
    background.spawn(keeper::run(ours.clone(), steps, site, counts.clone(), done.clone(), stop.clone()));
    let (claims, _nobody) = unbounded_channel();
    let script = {
        let scripts = scripts.clone();
        Arc::new(move |build: &store::build::Build| scripts.of(&build.commit).unwrap_or(WHOEVER))
    };
    background.spawn(player::run(database.db.clone(), script, claims, stop.clone()));

    let mut pushing = JoinSet::new();
    for (n, pusher) in pushers(&ours, database, folder).await?.into_iter().enumerate() {
        let plans = schedule::plans(seed, n);
        pushing.spawn(pusher::run(pusher, plans, scripts.clone(), counts.clone(), done.clone()));
    }
    let counting = async {
        let asked = all(pushing).await?;
        println!("all pushes are answered; waiting for everything to settle");
        let left = settle(database, &repositories).await?;
        let built = audit::builds(&database.db).await?;
        Ok(Soaked { findings: audit::judge(&asked, &built), left })
    };
    let soaked = tokio::select! {
        soaked = counting => soaked,
        ended = background.join_next() => Err(anyhow!("the soak's own part ended: {ended:?}")),
    };
    stop.cancel();
    while let Some(ended) = background.join_next().await {
        ended??;
    }
    soaked
}

/// The volume to be filled. Without one, the rest is done all the same.
fn small(folder: &Path, repositories: &Path) -> Option<Volume> {
    let mounted = volume::mount(&folder.join("volume.img"), repositories);
    mounted
        .inspect_err(|error| println!("the disk will not be full: there is no small volume here: {error:#}"))
        .ok()
}

async fn pushers(ours: &Receiver, database: &Database, folder: &Path) -> Result<Vec<Pusher>> {
    let mut pushers = Vec::new();
    for n in 0..PUSHERS {
        let (app, name) = (format!("app-{}", n % APPS), format!("pusher-{n}"));
        let branch = if n < APPS { "main" } else { "side" };
        let token =
            NewToken { name: &name, scope: Scope::Push, app_id: None, seconds: None, created_by: "soak" };
        let token = store::token::create(&database.db, &token).await?;
        let (_, secret) = token.context("a token of this name is there already")?;
        if n >= APPS {
            // Else whoever of the two came first would say which branch is the main one. The other ones are first pushes.
            let mut conn = database.db.acquire().await?;
            store::app::create(&mut conn, &NewApp::pushed(&app, "main")).await?;
        }
        let tree = tree::create(&folder.join(&name), &name).await?;
        let (url, header) = (receiver::remote(ours, &app), receiver::authorization(&secret));
        pushers.push(pusher::create(tree, &app, branch, &url, header).await?);
    }
    Ok(pushers)
}

async fn all(mut pushing: JoinSet<Result<Vec<Asked>>>) -> Result<Vec<Asked>> {
    let mut all = Vec::new();
    while let Some(asked) = pushing.join_next().await {
        all.extend(asked??);
    }
    ensure!(!all.is_empty(), "nothing was pushed");
    Ok(all)
}

/// What is left when nothing is, or when the reconciler has had its time.
async fn settle(database: &Database, repositories: &Path) -> Result<Vec<String>> {
    let started = Instant::now();
    loop {
        let left = leftover::leftovers(&database.db, repositories).await;
        // A folder that the receiver removes while it is looked into is no reason to end.
        if left.as_ref().is_ok_and(Vec::is_empty) || started.elapsed() > SETTLE_MAX {
            return left;
        }
        tokio::time::sleep(SETTLE_LOOK).await;
    }
}

async fn progress(counts: &Counts, started: Instant) -> Infallible {
    loop {
        tokio::time::sleep(SAY_EVERY).await;
        println!(
            "{:4} s: {} kills, {} faults, {} pushes, {} acknowledged",
            started.elapsed().as_secs(),
            counts.kills.get(),
            counts.faults.get(),
            counts.attempts.get(),
            counts.acknowledged.get()
        );
    }
}

/// Whether all is as it should be.
fn report(
    arguments: &Arguments,
    seed: u64,
    counts: &Counts,
    findings: &Findings,
    left: &[String],
    took: Duration,
) -> Result<bool> {
    let kinds = [
        ("lost", &findings.lost[..]),
        ("doubled", &findings.doubled),
        ("untrue", &findings.untrue),
        ("unanswered", &findings.unanswered),
        ("left behind", left),
    ];
    for (kind, all) in kinds {
        for it in all.iter().take(PRINTED_MAX) {
            println!("{kind}: {it}");
        }
    }
    println!("pushes that had to be tried again were told:");
    for (refusal, times) in counts.refusals.all().iter().take(PRINTED_MAX) {
        println!("{times:6} x {refusal}");
    }
    println!(
        "{} kills, {} faults ({} pushes caught between pin and accept), {} pushes, {} acknowledged in {} s (seed {seed})",
        counts.kills.get(),
        counts.faults.get(),
        counts.caught_between.get(),
        counts.attempts.get(),
        counts.acknowledged.get(),
        took.as_secs()
    );
    println!("{}", kinds.map(|(kind, all)| format!("{kind} {}", all.len())).join(", "));
    if let Some(path) = &arguments.json {
        let result = json!({
            "kills": counts.kills.get(), "faults": counts.faults.get(), "pushes": counts.attempts.get(),
            "acknowledged": counts.acknowledged.get(), "caught_between_pin_and_accept": counts.caught_between.get(),
            "receivers_ended_by_themselves": counts.ended_by_themselves.get(),
            "lost": findings.lost.len(), "doubled": findings.doubled.len(), "untrue": findings.untrue.len(),
            "unanswered": findings.unanswered.len(), "left_behind": left.len(),
            "seconds": took.as_secs(), "seed": seed,
        });
        std::fs::write(path, format!("{result:#}\n"))?;
    }
    Ok(kinds.iter().all(|(_, all)| all.is_empty()))
}

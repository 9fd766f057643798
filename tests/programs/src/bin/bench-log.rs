//! `cargo xtask bench log`: 8 builds write logs at once through the builder's own journal, one of them a gigabyte in a
//! million lines. Says how fast, what is stored, and how much memory it took, then reads the long one back.

#![allow(clippy::print_stdout, reason = "a bench prints its results")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use builder::journal;
use buildkit::progress::{Event, Line, Step};
use clap::Parser;
use domain::job::JobKind;
use harness::bench::memory;
use harness::database;
use redact::Redactor;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::PgPool;
use store::app::NewApp;
use store::build::Build;
use store::log::Logs;
use store::queue::Job;
use tokio::task::JoinSet;

/// Writes and reads long logs.
#[derive(Debug, Parser)]
struct Arguments {
    /// Builds that write at once
    #[arg(long, default_value_t = 8)]
    builds: usize,
    /// MiB of the long log
    #[arg(long, default_value_t = 1024)]
    mib: u64,
    /// Lines of the long log
    #[arg(long, default_value_t = 1_000_000)]
    lines: u64,
    /// MiB of each of the others, in lines as long as those of the long one
    #[arg(long, default_value_t = 64)]
    other_mib: u64,
    /// Write the results here as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    #[arg(long, env = "DATABASE_URL", hide = true, hide_env_values = true)]
    database_url: String,
}

/// Far above what is written: nothing is left out.
const LIMIT: u64 = 1 << 40;
const READ_BYTES: i64 = 1 << 20;
/// Lines that are asked for at once, as a page does.
const STRETCH: usize = 1000;
const LEASE: Duration = Duration::from_secs(3600);
const MIB: f64 = 1048576.0;
/// What a program may take, whatever it writes: 8 times what a journal lets wait, and its own work.
const ASKED_GROWTH_MIB: f64 = 256.0;

/// A log to be written.
#[derive(Clone, Copy, Debug)]
struct Script {
    seed: u64,
    lines: u64,
    line_bytes: u64,
}

impl Script {
    fn bytes(&self) -> u64 {
        self.lines * (self.line_bytes + 1)
    }

    /// Line `n`, never the same and of the length asked for: words as compilers write them, and a few random ones.
    fn line(&self, n: u64) -> Vec<u8> {
        let mut line = format!(
            "[{:6}/{}] Compiling crate-{:016x} v0.{}.{}",
            n,
            self.lines,
            mixed(self.seed ^ n),
            n % 50,
            n % 7
        );
        let mut word = n;
        while (line.len() as u64) < self.line_bytes {
            word = mixed(word);
            line.push_str(WORDS[usize::try_from(word % WORDS.len() as u64).unwrap_or(0)]);
        }
        let mut line = line.into_bytes();
        line.truncate(usize::try_from(self.line_bytes).unwrap_or(usize::MAX));
        line
    }
}

const WORDS: [&str; 16] = [
    " --crate-type=lib",
    " warning:",
    " unused",
    " -C opt-level=3",
    " /usr/src/app/node_modules/",
    "index.js",
    " 200 OK",
    " sha256:",
    " GET",
    " downloaded",
    " in 12 ms",
    " error:",
    " src/main.rs:42",
    " linking",
    " done",
    "\u{1b}[32mok\u{1b}[0m",
];

/// A permutation that spreads its input (the finalizer of splitmix64).
const fn mixed(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let database = database::create(&arguments.database_url, "bench_log").await?;
    let measured = tokio::select! {
        measured = measure(&arguments, &database.db) => measured,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    database::drop(database).await?;
    let result = measured?;
    if let Some(path) = &arguments.json {
        std::fs::write(path, format!("{result:#}\n"))?;
    }
    let growth = result["peak_growth_mib"].as_f64().unwrap_or(f64::INFINITY);
    ensure!(growth <= ASKED_GROWTH_MIB, "memory grew by {growth} MiB (asked: at most {ASKED_GROWTH_MIB})");
    Ok(())
}

async fn measure(arguments: &Arguments, db: &PgPool) -> Result<serde_json::Value> {
    let line_bytes = (arguments.mib << 20) / arguments.lines - 1;
    let mut writing = Vec::new();
    for n in 0..arguments.builds as u64 {
        let lines = if n == 0 { arguments.lines } else { (arguments.other_mib << 20) / (line_bytes + 1) };
        writing.push((running(db, n).await?, Script { seed: n, lines, line_bytes }));
    }
    let long = (writing[0].0.0.clone(), writing[0].1);
    let bytes: u64 = writing.iter().map(|(_, script)| script.bytes()).sum();
    let lines: u64 = writing.iter().map(|(_, script)| script.lines).sum();

    let before = memory::peak_mib()?;
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for ((build, job), script) in writing {
        let db = db.clone();
        tasks.spawn(async move { write(&db, &build, &job, script).await });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let took = started.elapsed().as_secs_f64();
    let growth = memory::peak_mib()? - before;
    let stored: i64 =
        sqlx::query_scalar("select sum(stored_bytes)::bigint from build_log").fetch_one(db).await?;
    let (mib, stored_mib) = (bytes as f64 / MIB, stored as f64 / MIB);
    println!(
        "{} builds wrote {lines} lines, {mib:.0} MiB, in {took:.1} s: {:.0} lines/s, {:.1} MiB/s",
        arguments.builds,
        lines as f64 / took,
        mib / took
    );
    println!("stored: {stored_mib:.1} MiB ({:.1} to 1)", mib / stored_mib);
    println!("memory at its peak: {growth:.1} MiB more than before (asked: at most {ASKED_GROWTH_MIB})");

    let logs = Logs { db: db.clone(), archive: None };
    let stretches = stretches(&logs, &long.0, long.1).await?;
    let read = Instant::now();
    whole(&logs, &long.0, long.1).await?;
    let read = read.elapsed().as_secs_f64();
    let read_growth = memory::peak_mib()? - before;
    println!(
        "the long log reads back whole, by its checksum, at {:.1} MiB/s",
        long.1.bytes() as f64 / MIB / read
    );
    println!("memory after reading: {read_growth:.1} MiB at its peak more than before writing");
    Ok(json!({
        "builds": arguments.builds, "lines": lines, "mib": mib, "took_s": took, "lines_per_s": lines as f64 / took,
        "mib_per_s": mib / took, "stored_mib": stored_mib, "peak_growth_mib": growth,
        "peak_growth_with_reading_mib": read_growth, "read_mib_per_s": long.1.bytes() as f64 / MIB / read,
        "head_ms": stretches[0], "middle_ms": stretches[1], "tail_ms": stretches[2],
    }))
}

/// A build that has begun, of an application of its own.
async fn running(db: &PgPool, n: u64) -> Result<(Build, Job)> {
    let mut tx = db.begin().await?;
    let app = store::app::create(&mut tx, &NewApp::pushed(&format!("bench-{n}"), "main")).await?;
    let app = app.context("there is such an application already")?;
    let branch = store::branch::touch(&mut tx, app.id, "main").await?;
    let build =
        store::push::record(&mut tx, &branch, &"a".repeat(40)).await?.context("it was pushed already")?;
    tx.commit().await?;
    let job =
        store::queue::claim(db, &[JobKind::Build], "bench", LEASE).await?.context("nothing to claim")?;
    ensure!(job.subject == build.id, "another build was claimed");
    Ok((build, job))
}

/// As the builder does, with the lines coming as fast as they are taken.
async fn write(db: &PgPool, build: &Build, job: &Job, script: Script) -> Result<()> {
    let (log, events) = journal::open(Redactor::new([]));
    let saying = async move {
        let step = Step { number: 1, name: "RUN make".to_owned(), ..Step::default() };
        log.events().send(Event::Step(step), 0).await?;
        for n in 0..script.lines {
            let line = Event::Line(Line { step: 1, bytes: script.line(n), continues: false });
            let bytes = line.bytes();
            log.events().send(line, bytes).await?;
        }
        drop(log);
        anyhow::Ok(())
    };
    tokio::try_join!(saying, journal::write(db, job, build, LIMIT, events))?;
    Ok(())
}

/// The first, the middle and the last lines, as a page asks for them; how long each took, in milliseconds.
async fn stretches(logs: &Logs, build: &Build, script: Script) -> Result<Vec<f64>> {
    let mut took = Vec::new();
    let last = script.lines.saturating_sub(STRETCH as u64);
    for (name, from) in [("first", 0), ("middle", script.lines / 2), ("last", last)] {
        let started = Instant::now();
        let lines = store::log::read(logs, build.id, i64::try_from(from)?, STRETCH).await?;
        let ms = started.elapsed().as_secs_f64() * 1000.0;
        println!("the {name} {} lines: {ms:.1} ms", lines.len());
        let asked = script.lines.min(STRETCH as u64).min(script.lines - from);
        ensure!(lines.len() as u64 == asked, "{} lines at {from} instead of {asked}", lines.len());
        for (n, line) in (from..).zip(&lines) {
            let is_right = line.number == i64::try_from(n)? && line.text.as_bytes() == script.line(n);
            ensure!(is_right, "line {n} is not what was written");
        }
        took.push(ms);
    }
    Ok(took)
}

async fn whole(logs: &Logs, build: &Build, script: Script) -> Result<()> {
    let (mut read, mut written, mut from) = (Sha256::new(), Sha256::new(), 0);
    loop {
        let raw = store::log::raw(logs, build.id, from, READ_BYTES).await?;
        if raw.bytes.is_empty() {
            break;
        }
        read.update(&raw.bytes);
        from = raw.next_line;
    }
    for n in 0..script.lines {
        written.update(script.line(n));
        written.update(b"\n");
    }
    ensure!(read.finalize() == written.finalize(), "the log that was read is not the one that was written");
    Ok(())
}

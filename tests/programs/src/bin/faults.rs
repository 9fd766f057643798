//! `cargo xtask faults`: fails each part that a build needs at each moment of a build, one after the other, and sees what
//! becomes of the build.

#![allow(clippy::print_stdout, reason = "it prints its results")]

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, ensure};
use clap::Parser;
use harness::database::{self, Database};
use harness::faults::cell::Cell;
use harness::faults::cells::CELLS;
use harness::faults::run::{self, Verdict};
use harness::faults::table;
use harness::faults::world::{self, Given};

/// Fails the parts under builds, and sees what becomes of them.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only cells whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// Write the results here as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write the results here as a table
    #[arg(long)]
    table: Option<PathBuf>,
    /// Say which cells there are
    #[arg(long)]
    list: bool,
    /// Everything is below this folder, which is not on an overlay file system
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    #[arg(long, env = "DATABASE_URL", hide = true, hide_env_values = true)]
    database_url: String,
    #[arg(long, env = "SLIPWAY_SLIPWAYD", hide = true)]
    slipwayd: PathBuf,
    /// buildkitd, runc and registry lie beside it
    #[arg(long, env = "SLIPWAY_BUILDCTL", hide = true)]
    buildctl: PathBuf,
    /// Where base images are
    #[arg(long, env = "SLIPWAY_REGISTRY_ADDRESS", hide = true)]
    mirror: String,
    #[arg(long, env = "SLIPWAY_START_SCRIPT", hide = true)]
    start_script: PathBuf,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cells: Vec<&Cell> = CELLS.iter().filter(|it| it.name().contains(&arguments.only)).collect();
    ensure!(!cells.is_empty(), "no cell's name contains {:?}", arguments.only);
    if arguments.list {
        cells.iter().for_each(|cell| println!("{}", cell.name()));
        return Ok(());
    }
    let started = Instant::now();
    let database = database::create(&arguments.database_url, "faults").await?;
    let folder = tempfile::Builder::new().prefix("faults-").tempdir_in(&arguments.dir)?;
    let ran = tokio::select! {
        ran = all(&arguments, &database, &cells, folder.path()) => ran,
        _ = tokio::signal::ctrl_c() => Err(anyhow!("interrupted")),
    };
    database::drop(database).await?;
    let verdicts = ran?;
    let seconds = started.elapsed().as_secs();
    let wrong = verdicts.iter().filter(|it| !it.findings.is_empty()).count();
    println!("{} of {} cells are as required, in {seconds} s", verdicts.len() - wrong, verdicts.len());
    if let Some(path) = &arguments.json {
        std::fs::write(path, format!("{:#}\n", table::json(&verdicts, seconds)))?;
    }
    if let Some(path) = &arguments.table {
        std::fs::write(path, table::markdown(&verdicts))?;
    }
    if wrong > 0 {
        println!("the logs are in {}", folder.keep().display());
        std::process::exit(1);
    }
    Ok(())
}

async fn all(
    arguments: &Arguments,
    database: &Database,
    cells: &[&Cell],
    folder: &std::path::Path,
) -> Result<Vec<Verdict>> {
    let given = Given {
        slipwayd: arguments.slipwayd.canonicalize().context("slipwayd")?,
        programs: arguments.buildctl.parent().context("buildctl lies in a folder")?.to_owned(),
        mirror: arguments.mirror.clone(),
        start_script: arguments.start_script.canonicalize().context("the start script")?,
    };
    let mut world = world::start(&given, database, folder).await?;
    let mut verdicts = Vec::new();
    for (number, cell) in cells.iter().enumerate() {
        let verdict = run::run(&mut world, database, cell, number).await;
        let is_well = if verdict.findings.is_empty() { "ok " } else { "NOT" };
        println!(
            "{is_well} {:3}/{} {}: {} in {} attempts, recovered in {:.1} s ({:.1} s)",
            number + 1,
            cells.len(),
            cell.name(),
            verdict.outcome,
            verdict.attempts,
            verdict.recovered_s,
            verdict.took_s
        );
        verdict.findings.iter().for_each(|finding| println!("        {finding}"));
        verdicts.push(verdict);
    }
    Ok(verdicts)
}

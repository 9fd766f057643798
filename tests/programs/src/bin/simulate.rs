//! Plays seeds of the simulated platform: many, to find one that fails, or one, to see what happens in it.

#![allow(clippy::print_stdout, reason = "it prints its results")]

use anyhow::Result;
use clap::Parser;
use harness::sim::{fleet, place, seed};

/// Plays seeds of the simulated queue and build states, with faults, and checks what comes of them.
#[derive(Debug, Parser)]
struct Arguments {
    /// So many of them
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Only this one, and say what happens in it
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    #[arg(long, env = "DATABASE_URL", hide = true, hide_env_values = true)]
    database_url: String,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let is_well = match arguments.seed {
        Some(seed) => replay(&arguments.database_url, seed)?,
        None => play(&arguments)?,
    };
    if !is_well {
        std::process::exit(1);
    }
    Ok(())
}

fn play(arguments: &Arguments) -> Result<bool> {
    let report = fleet::play(&arguments.database_url, arguments.from, arguments.seeds)?;
    for played in &report.failed {
        println!("{}", fleet::describe(played));
    }
    println!(
        "{} seeds, {} events, {} failed, in {} s",
        report.played,
        report.steps,
        report.failed.len(),
        report.took.as_secs()
    );
    Ok(report.failed.is_empty())
}

#[tokio::main(flavor = "current_thread")]
async fn replay(database_url: &str, seed: u64) -> Result<bool> {
    let mut place = place::create(database_url).await?;
    let played = seed::play(&mut place, seed).await;
    place::drop(place).await?;
    let played = played?;
    for line in &played.story {
        println!("{line}");
    }
    for finding in &played.findings {
        println!("NOT AS IT SHOULD BE: {finding}");
    }
    Ok(played.findings.is_empty())
}

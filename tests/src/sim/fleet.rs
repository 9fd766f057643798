//! Many seeds at once: a thread and a database for each core.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::place;
use super::seed::{self, Played};

/// Tables grow with each seed, and emptying them takes as long as playing some.
const CLEAR_EVERY: u64 = 40;
/// More of them tell nothing new.
const FAILED_MAX: usize = 5;

#[derive(Debug)]
pub struct Report {
    pub played: u64,
    pub steps: u64,
    /// The first that failed.
    pub failed: Vec<Played>,
    pub took: Duration,
}

/// Plays `count` seeds from `from` on.
pub fn play(superuser_url: &str, from: u64, count: u64) -> Result<Report> {
    let started = Instant::now();
    let next = Arc::new(AtomicU64::new(from));
    let threads = std::thread::available_parallelism()?.get();
    let workers: Vec<_> = (0..threads)
        .map(|_| {
            let (url, next, end) = (superuser_url.to_owned(), next.clone(), from + count);
            std::thread::spawn(move || play_some(&url, &next, end))
        })
        .collect();
    let mut report = Report { played: 0, steps: 0, failed: Vec::new(), took: Duration::ZERO };
    for worker in workers {
        let part = worker.join().map_err(|_| anyhow!("a thread of the simulation panicked"))??;
        report.played += part.played;
        report.steps += part.steps;
        report.failed.extend(part.failed);
    }
    report.failed.sort_by_key(|played| played.seed);
    report.took = started.elapsed();
    Ok(report)
}

#[tokio::main(flavor = "current_thread")]
async fn play_some(superuser_url: &str, next: &AtomicU64, end: u64) -> Result<Report> {
    let mut place = place::create(superuser_url).await?;
    let mut report = Report { played: 0, steps: 0, failed: Vec::new(), took: Duration::ZERO };
    while report.failed.len() < FAILED_MAX {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            break;
        }
        let played = seed::play(&mut place, seed).await?;
        report.played += 1;
        report.steps += played.story.len() as u64;
        if !played.findings.is_empty() {
            report.failed.push(played);
        }
        if report.played.is_multiple_of(CLEAR_EVERY) {
            place::clear(&mut place).await?;
        }
    }
    place::drop(place).await?;
    Ok(report)
}

/// What to do about a seed that failed.
pub fn describe(played: &Played) -> String {
    let findings: Vec<String> = played.findings.iter().map(|it| format!("  {it}\n")).collect();
    format!(
        "seed {} fails:\n{}to replay it: cargo run --package tests --bin simulate -- --seed {}\n",
        played.seed,
        findings.concat(),
        played.seed
    )
}

//! The simulated queue and build states: some seeds, and proof that a broken invariant would be found. `cargo xtask test`
//! plays ten thousand in a release build.

use anyhow::{Result, ensure};
use clap::Parser;
use harness::sim::{fleet, place, seed, world};
use sqlx::AssertSqlSafe;

const SEEDS: u64 = 300;
/// These found a fault once: a build that was asked to stop, and whose builder died, gave way to a newer one instead
/// (101); a release whose deployer had given it back was rolled out for ever when a newer one took its place.
const REGRESSIONS: [u64; 6] = [101, 2504, 2677, 4831, 6709, 7509];

#[derive(Debug, Parser)]
struct Environment {
    #[arg(long, env = "DATABASE_URL")]
    database_url: String,
}

fn database_url() -> Result<String> {
    Ok(Environment::try_parse_from(["simulation"])?.database_url)
}

#[test]
fn no_seed_breaks_an_invariant() -> Result<()> {
    let report = fleet::play(&database_url()?, 0, SEEDS)?;
    let failed: Vec<String> = report.failed.iter().map(fleet::describe).collect();
    ensure!(failed.is_empty(), "{}", failed.concat());
    ensure!(report.played == SEEDS, "only {} seeds were played", report.played);
    Ok(())
}

#[tokio::test]
async fn seeds_that_once_failed_pass_and_are_the_same_each_time() -> Result<()> {
    let mut place = place::create(&database_url()?).await?;
    for seed in REGRESSIONS {
        let first = seed::play(&mut place, seed).await?;
        let second = seed::play(&mut place, seed).await?;
        ensure!(first.findings.is_empty(), "{}", fleet::describe(&first));
        ensure!(plain(&first.story) == plain(&second.story), "seed {seed} went another way the second time");
    }
    place::drop(place).await
}

/// Without the numbers of jobs, which go on from seed to seed.
fn plain(story: &[String]) -> Vec<&str> {
    story.iter().map(|line| line.split_once("takes job").map_or(line.as_str(), |(start, _)| start)).collect()
}

/// What is done to a platform at rest, and what must be said of it.
const BROKEN: [(&str, &str); 7] = [
    ("update build set state = 'running', finished_at = null where number = 1", "never ended"),
    ("update build set state = 'cancelled' where number = 1", "ended as succeeded and then as cancelled"),
    ("delete from image", "has 0 images and 1 releases"),
    ("update release set state = 'superseded'", "the newest release of the environment main is superseded"),
    ("update log_chunk set first_line = first_line + 1", "has a hole at line 1"),
    ("update job set state = 'queued', finished_at = null where kind = 'deploy'", "(deploy) never ended"),
    ("update branch set commit = 'another'", "on its forge and Some(\"another\") here"),
];

#[tokio::test]
async fn what_is_broken_on_purpose_is_found() -> Result<()> {
    let mut place = place::create(&database_url()?).await?;
    for (breaks, expected) in BROKEN {
        let mut world = world::create_with(&mut place, 1, &[true]).await?;
        seed::one_commit_to_live(&mut world).await?;
        let before = harness::sim::audit::judge(&mut world).await?;
        ensure!(before.is_empty(), "before anything was broken: {before:?}");
        sqlx::query(AssertSqlSafe(breaks)).execute(&mut world.place.direct).await?;
        let after = harness::sim::audit::judge(&mut world).await?;
        ensure!(after.iter().any(|it| it.contains(expected)), "{breaks}: {after:?}");
        place::clear(&mut place).await?;
    }
    place::drop(place).await
}

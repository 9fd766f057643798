//! `cargo xtask test`: brings everything up if needed, then runs the workspace's tests against it, and the simulator.

use std::process::Command;
use std::time::Instant;

use anyhow::Context;

use crate::args::Forge;
use crate::layout::Layout;
use crate::platform::packages;
use crate::progress::{elapsed, note};
use crate::{command, environment, newer_git, program, up};

/// Of the simulator, in each run of all tests.
const SEEDS: &str = "10000";

pub(crate) fn run(layout: &Layout, filters: &[String]) -> anyhow::Result<()> {
    let begun = Instant::now();
    let forge = Some(Forge::Gitea);
    up::prepare(layout, forge, packages::FOR_TESTS)?;
    let lock = up::lock(layout)?;
    up::side_by_side(|| up::everything(layout, forge), || newer_git::ensure(layout))?;
    drop(lock);
    let up = begun.elapsed();

    let begun = Instant::now();
    let status = tests(layout, filters)
        .envs(environment::variables(layout)?)
        .status()
        .context("cannot start cargo")?;
    let tests = begun.elapsed();
    let begun = Instant::now();
    // A debug build of it takes several times as long.
    let simulated = match filters {
        [] => program::run(program::of_tests(layout, "simulate")?.arg("--seeds").arg(SEEDS), None),
        _ => Ok(()),
    };
    let simulation = elapsed(begun.elapsed());
    note(&format!("up: {}, tests: {}, simulation: {simulation}", elapsed(up), elapsed(tests)));
    anyhow::ensure!(status.success(), "the tests failed");
    simulated
}

/// nextest where it is installed: a process for each test.
fn tests(layout: &Layout, filters: &[String]) -> Command {
    let mut cargo = command::cargo(layout);
    if command::succeeds(command::cargo(layout).args(["nextest", "--version"])) {
        cargo.args(["nextest", "run", "--workspace"]).args(filters);
    } else {
        // No documentation has tests, and looking for them takes a minute; nor has `tests/programs`.
        cargo.args(["test", "--workspace", "--tests", "--no-fail-fast", "--"]).args(filters);
    }
    cargo
}

//! `cargo xtask bench`: brings everything up if needed, then runs a bench against it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;

use crate::args::Bench;
use crate::layout::Layout;
use crate::{command, environment, up};

pub(crate) fn run(layout: &Layout, bench: &Bench) -> anyhow::Result<()> {
    up::prepare(layout)?;
    let lock = up::lock(layout)?;
    up::everything(layout)?;
    drop(lock);
    match bench {
        Bench::Push { rounds, json } => push(layout, *rounds, json.as_ref()),
    }
}

/// Both ways build with the BuildKit that runs in the cluster.
fn push(layout: &Layout, rounds: u32, json: Option<&PathBuf>) -> anyhow::Result<()> {
    let address = command::output(
        Command::new(layout.bin("kubectl")).arg("--kubeconfig").arg(layout.kubeconfig()).args([
            "--namespace=slipway-build",
            "get",
            "service",
            "buildkitd",
            "--output=jsonpath={.spec.clusterIP}",
        ]),
    )?;
    let mut bench = Command::new(layout.target().join("release/bench-push"));
    bench.arg("--rounds").arg(rounds.to_string()).envs(environment::variables(layout)?);
    bench.env("SLIPWAY_BUILDKIT_ADDRESS", format!("tcp://{}:1234", address.trim()));
    if let Some(json) = json {
        bench.arg("--json").arg(json);
    }
    let status = bench.status().context("cannot start the bench")?;
    anyhow::ensure!(status.success(), "the bench failed");
    Ok(())
}

//! `cargo xtask bench`: brings everything up if needed, then runs a bench against it.

use std::process::Command;

use crate::args::Bench;
use crate::layout::Layout;
use crate::{command, program, up};

pub(crate) fn run(layout: &Layout, bench: &Bench) -> anyhow::Result<()> {
    up::for_tests(layout)?;
    let (mut command, json) = match bench {
        Bench::Push { rounds, json } => {
            let mut bench = program::of_tests(layout, "bench-push")?;
            bench.arg("--rounds").arg(rounds.to_string());
            bench.env("SLIPWAY_BUILDKIT_ADDRESS", buildkit_address(layout)?);
            (bench, json)
        }
        Bench::Build { rounds, cases, json } => {
            let mut bench = program::of_tests(layout, "bench-build")?;
            bench.arg("--rounds").arg(rounds.to_string());
            if !cases.is_empty() {
                bench.arg("--cases").arg(cases.join(","));
            }
            bench.env("SLIPWAY_BUILDKIT_ADDRESS", buildkit_address(layout)?);
            (bench, json)
        }
        Bench::Queue { rounds, json } => {
            let mut bench = program::of_tests(layout, "bench-queue")?;
            bench.arg("--rounds").arg(rounds.to_string());
            (bench, json)
        }
        Bench::Log { json } => (program::of_tests(layout, "bench-log")?, json),
        Bench::Git { rounds, json } => {
            let mut bench = program::of_tests(layout, "bench-git")?;
            bench.arg("--rounds").arg(rounds.to_string());
            (bench, json)
        }
    };
    program::run(&mut command, json.as_deref())
}

/// Both ways build with the BuildKit that runs in the cluster.
fn buildkit_address(layout: &Layout) -> anyhow::Result<String> {
    let address = command::output(
        Command::new(layout.bin("kubectl")).arg("--kubeconfig").arg(layout.kubeconfig()).args([
            "--namespace=slipway-build",
            "get",
            "service",
            "buildkitd",
            "--output=jsonpath={.spec.clusterIP}",
        ]),
    )?;
    Ok(format!("tcp://{}:1234", address.trim()))
}

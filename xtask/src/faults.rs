//! `cargo xtask faults`: brings everything up if needed, then fails the parts that a build needs, one after the other.

use crate::args::Faults;
use crate::layout::Layout;
use crate::{program, up};

pub(crate) fn run(layout: &Layout, faults: &Faults) -> anyhow::Result<()> {
    up::for_tests(layout)?;
    let mut command = program::of_tests(layout, "faults")?;
    command.env("SLIPWAY_START_SCRIPT", layout.repo.join("deploy/components/buildkit/start.sh"));
    if let Some(only) = &faults.only {
        command.arg("--only").arg(only);
    }
    if let Some(table) = &faults.table {
        command.arg("--table").arg(table);
    }
    program::run(&mut command, faults.json.as_deref())
}

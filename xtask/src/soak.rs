//! `cargo xtask soak`: brings everything up if needed, then breaks things until a count is reached.

use crate::args::Soak;
use crate::layout::Layout;
use crate::{program, up};

pub(crate) fn run(layout: &Layout, soak: &Soak) -> anyhow::Result<()> {
    up::for_tests(layout)?;
    let Soak::Push { kills, seed, json } = soak;
    let mut command = program::of_tests(layout, "soak-push")?;
    command.arg("--kills").arg(kills.to_string());
    if let Some(seed) = seed {
        command.arg("--seed").arg(seed.to_string());
    }
    program::run(&mut command, json.as_deref())
}

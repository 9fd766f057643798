//! The programs of `tests/programs`, which run against the platform: benches, soaks, faults, the simulator.

use std::path::Path;
use std::process::Command;

use anyhow::Context;

use crate::environment;
use crate::layout::Layout;
use crate::platform::compile;

/// A program of the release build that is told about the platform, and about the server it may start itself.
pub(crate) fn of_tests(layout: &Layout, name: &str) -> anyhow::Result<Command> {
    compile::release(layout, name, &[name])?;
    let release = layout.target().join("release");
    let mut command = Command::new(release.join(name));
    command.envs(environment::variables(layout)?).env("SLIPWAY_SLIPWAYD", release.join("slipwayd"));
    Ok(command)
}

/// Runs it on this terminal, with its results also in a file if one is named.
pub(crate) fn run(command: &mut Command, json: Option<&Path>) -> anyhow::Result<()> {
    if let Some(json) = json {
        command.arg("--json").arg(json);
    }
    let name = Path::new(command.get_program()).file_name().unwrap_or_default().display().to_string();
    let status = command.status().with_context(|| format!("cannot start {name}"))?;
    anyhow::ensure!(status.success(), "{name} failed ({status})");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_program() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "exit 3"]);
        assert_eq!(run(&mut command, None).unwrap_err().to_string(), "sh failed (exit status: 3)");
    }

    #[test]
    fn the_results_file_is_the_last_argument() {
        let mut command = Command::new("sh");
        command.args(["-c", "test \"$1 $2\" = '--json /r.json'", "sh"]);
        run(&mut command, Some(Path::new("/r.json"))).unwrap();
    }
}

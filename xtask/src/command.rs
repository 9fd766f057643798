//! Runs other programs: with their output in a log file, captured, or only for whether they succeed.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::layout::Layout;

/// How much of a failed program's log is worth a screen.
const LINES_ON_FAILURE: usize = 15;

/// Cargo for the copy of the sources in the cache, with its target folder there.
pub(crate) fn cargo(layout: &Layout) -> Command {
    let mut cargo = bare_cargo();
    cargo.current_dir(layout.sources()).env("CARGO_TARGET_DIR", layout.target());
    cargo
}

/// Cargo, as a shell starts it. What `cargo run` tells this program of its own package is not passed on: build scripts read
/// it, and would compile their packages, and all that needs them, anew for each checkout.
pub(crate) fn bare_cargo() -> Command {
    let mut cargo = Command::new("cargo");
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_of_package) {
            cargo.env_remove(name);
        }
    }
    cargo
}

fn is_of_package(name: &str) -> bool {
    name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
}

/// Runs a program to its end with all of its output appended to `log`.
pub(crate) fn run(command: &mut Command, log: &Path) -> anyhow::Result<()> {
    let mut file = open_log(log)?;
    writeln!(file, "$ {}", shown(command))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    anyhow::ensure!(
        status.success(),
        "`{}` failed ({status}); the last lines of {}:\n{}",
        shown(command),
        log.display(),
        tail(log, LINES_ON_FAILURE)
    );
    Ok(())
}

/// Runs a program and returns what it wrote to its standard output.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    output_with_input(command, "")
}

/// The same, with `input` on its standard input: the way for anything secret.
pub(crate) fn output_with_input(command: &mut Command, input: &str) -> anyhow::Result<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    let mut stdin = child.stdin.take().expect("stdin was asked for as a pipe");
    let output = std::thread::scope(|scope| {
        // A program that ends without reading closes the pipe: its exit status tells, not our write.
        scope.spawn(move || stdin.write_all(input.as_bytes()).ok());
        child.wait_with_output()
    })?;
    anyhow::ensure!(
        output.status.success(),
        "`{}` failed ({}): {}",
        shown(command),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a program runs and succeeds, in silence.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    silent.status().is_ok_and(|status| status.success())
}

/// Whether a program of this name is on the PATH.
pub(crate) fn exists(program: &str) -> bool {
    succeeds(Command::new("sh").args(["-c", "command -v \"$1\"", "sh", program]))
}

/// The last lines of a file, or nothing when there is none.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    const READ_AT_MOST: u64 = 64 * 1024;
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(READ_AT_MOST)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    last_lines(&read().unwrap_or_default(), lines)
}

/// Opens a log for appending, with its folder.
pub(crate) fn open_log(log: &Path) -> anyhow::Result<File> {
    if let Some(folder) = log.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    File::options()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot write {}", log.display()))
}

fn last_lines(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// A command as a person would read it: enough to recognise it, never a screen of flags.
fn shown(command: &Command) -> String {
    const WORDS: usize = 5;
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let mut words = vec![program.to_string_lossy().into_owned()];
    words.extend(command.get_args().take(WORDS).map(|arg| arg.to_string_lossy().into_owned()));
    if command.get_args().len() > WORDS {
        words.push("..".to_owned());
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_failure_shows_the_end_of_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("a/step.log");
        let mut command = Command::new("sh");
        command.args(["-c", "echo first; echo 'it broke' >&2; exit 3"]);
        let error = run(&mut command, &log).unwrap_err().to_string();
        assert!(error.contains("exit status: 3"), "{error}");
        assert!(error.ends_with("first\nit broke"), "{error}");
    }

    #[test]
    fn input_goes_in_and_output_comes_out() {
        assert_eq!(output_with_input(&mut Command::new("cat"), "secret").unwrap(), "secret");
        // Nothing reads the input here: that must neither fail nor hang.
        assert_eq!(output_with_input(&mut Command::new("true"), &"x".repeat(1 << 20)).unwrap(), "");
    }

    #[test]
    fn cargo_is_told_nothing_of_this_package() {
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
        let [repo, cache, data] = ["/repo", "/cache", "/data"].map(PathBuf::from);
        let cargo = cargo(&Layout { repo, cache, data });
        assert!(cargo.get_envs().any(|it| it == ("CARGO_MANIFEST_DIR".as_ref(), None)));
    }

    #[test]
    fn long_commands_are_cut() {
        let mut command = Command::new("/usr/bin/go");
        command.args(["build", "1", "2", "3", "4", "5"]);
        assert_eq!(shown(&command), "go build 1 2 3 4 ..");
    }

    #[test]
    fn last_lines_skip_blanks() {
        assert_eq!(last_lines("a\nb\n\nc\n\n", 2), "b\nc");
        assert_eq!(last_lines("", 2), "");
    }
}

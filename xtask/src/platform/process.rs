//! Processes that outlive xtask. Each has a file that says which one it is: its pid, when it started, and the
//! fingerprint of how it was started, so that a changed version or configuration restarts it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::command;
use crate::layout::Layout;

/// What to start.
#[derive(Debug)]
pub(crate) struct Spec<'a> {
    pub name: &'a str,
    pub command: Command,
    pub stop_signal: &'a str,
    pub fingerprint: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    LeftAlone,
    Started,
}

/// A process as its file remembers it. A pid alone is not enough: the kernel uses it again.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    pid: u32,
    started: u64,
    fingerprint: String,
}

/// Leaves alone what already runs as it should, else starts it, in a session of its own and with its own log.
pub(crate) fn ensure(layout: &Layout, spec: Spec<'_>) -> anyhow::Result<Outcome> {
    if let Some(record) = alive(layout, spec.name) {
        if record.fingerprint == spec.fingerprint {
            return Ok(Outcome::LeftAlone);
        }
        stop(layout, spec.name, spec.stop_signal)?;
    }
    let log = layout.log(spec.name);
    fs::rename(&log, log.with_extension("log.1")).ok();
    let file = command::open_log(&log)?;
    let pid = detach(&spec.command, file).with_context(|| format!("cannot start {}", spec.name))?;
    let (_, started) =
        read_stat(pid).with_context(|| format!("{} ended at once, see {}", spec.name, log.display()))?;
    let record = Record { pid, started, fingerprint: spec.fingerprint };
    let path = pid_file(layout, spec.name);
    fs::create_dir_all(path.parent().expect("pid files lie in a folder"))?;
    fs::write(&path, serde_json::to_string(&record)?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Outcome::Started)
}

/// The pid of a process of ours, if it runs.
pub(crate) fn running(layout: &Layout, name: &str) -> Option<u32> {
    alive(layout, name).map(|record| record.pid)
}

/// Asks a process to end, gives it ten seconds, then ends it.
pub(crate) fn stop(layout: &Layout, name: &str, signal: &str) -> anyhow::Result<()> {
    const PATIENCE: Duration = Duration::from_secs(10);
    if let Some(record) = alive(layout, name) {
        send(signal, record.pid);
        let end = Instant::now() + PATIENCE;
        while alive(layout, name).is_some() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(50));
        }
        if alive(layout, name).is_some() {
            send("KILL", record.pid);
        }
    }
    match fs::remove_file(pid_file(layout, name)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context("cannot remove a pid file")
        }
        _ => Ok(()),
    }
}

/// Sends a signal; one that finds nobody has nothing left to do. The shell has `kill` built in everywhere.
pub(crate) fn send(signal: &str, pid: u32) {
    command::succeeds(Command::new("sh").args([
        "-c",
        "kill -s \"$1\" \"$2\"",
        "sh",
        signal,
        &pid.to_string(),
    ]));
}

fn alive(layout: &Layout, name: &str) -> Option<Record> {
    let text = fs::read_to_string(pid_file(layout, name)).ok()?;
    let record: Record = serde_json::from_str(&text).ok()?;
    let (state, started) = read_stat(record.pid)?;
    (started == record.started && state != 'Z').then_some(record)
}

fn pid_file(layout: &Layout, name: &str) -> PathBuf {
    layout.data.join("pids").join(format!("{name}.json"))
}

/// `setsid` executes the program in its own place: the pid stays the same and no terminal can end it.
fn detach(command: &Command, log: fs::File) -> anyhow::Result<u32> {
    let child = Command::new("setsid")
        .arg(command.get_program())
        .args(command.get_args())
        .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    Ok(child.id())
}

fn read_stat(pid: u32) -> Option<(char, u64)> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// State and start time of a line of /proc/PID/stat. The name before them may hold anything, also brackets.
fn parse_stat(line: &str) -> Option<(char, u64)> {
    let (_, after_name) = line.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace();
    let state = fields.next()?.chars().next()?;
    // Field 22 of the line; the state was field 3.
    let started = fields.nth(18)?.parse().ok()?;
    Some((state, started))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn layout(data: &Path) -> Layout {
        Layout { repo: "/r".into(), cache: "/c".into(), data: data.to_owned() }
    }

    fn sleeper(fingerprint: &str) -> Spec<'static> {
        let mut command = Command::new("sleep");
        command.arg("60");
        Spec { name: "sleeper", command, stop_signal: "TERM", fingerprint: fingerprint.to_owned() }
    }

    #[test]
    fn a_strange_name_does_not_confuse() {
        let fields: Vec<String> = (4..=52).map(|field| field.to_string()).collect();
        let line = format!("7 (a) b (c) S {}", fields.join(" "));
        assert_eq!(parse_stat(&line), Some(('S', 22)));
        assert_eq!(parse_stat("7 (a"), None);
    }

    #[test]
    fn what_runs_is_left_alone_until_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let layout = layout(folder.path());
        assert_eq!(ensure(&layout, sleeper("one")).unwrap(), Outcome::Started);
        let pid = running(&layout, "sleeper").unwrap();
        assert_eq!(ensure(&layout, sleeper("one")).unwrap(), Outcome::LeftAlone);
        assert_eq!(running(&layout, "sleeper"), Some(pid));
        assert_eq!(ensure(&layout, sleeper("two")).unwrap(), Outcome::Started);
        assert_ne!(running(&layout, "sleeper").unwrap(), pid);
        stop(&layout, "sleeper", "TERM").unwrap();
        assert_eq!(running(&layout, "sleeper"), None);
    }

    #[test]
    fn a_pid_used_again_by_another_process_is_not_ours() {
        let folder = tempfile::tempdir().unwrap();
        let layout = layout(folder.path());
        let own = std::process::id();
        let record = Record { pid: own, started: 1, fingerprint: String::new() };
        fs::create_dir(folder.path().join("pids")).unwrap();
        fs::write(pid_file(&layout, "other"), serde_json::to_string(&record).unwrap()).unwrap();
        assert_eq!(running(&layout, "other"), None);
    }
}

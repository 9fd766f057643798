//! The processes under test: each started alike every time, in a folder of this program's own.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::wait;

const PATIENCE: Duration = Duration::from_secs(30);
/// BuildKit's state has a disk of its own, so that it can be full.
const DISK: u64 = 6 << 30;

/// How to start a part.
#[derive(Debug, Clone)]
pub struct Recipe {
    pub name: String,
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub variables: Vec<(String, String)>,
    pub folder: PathBuf,
    /// Takes connections when it is ready.
    pub address: SocketAddr,
}

/// It is killed when this is dropped.
#[derive(Debug)]
pub struct Part {
    pub recipe: Recipe,
    child: Child,
}

/// An address that nobody listens on.
pub fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

pub fn start(recipe: &Recipe) -> Result<Part> {
    let log = File::options().create(true).append(true).open(log(recipe))?;
    let child = Command::new(&recipe.program)
        .args(&recipe.arguments)
        .envs(recipe.variables.iter().map(|(name, value)| (name, value)))
        .current_dir(&recipe.folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting {}", recipe.program.display()))?;
    Ok(Part { recipe: recipe.clone(), child })
}

pub fn log(recipe: &Recipe) -> PathBuf {
    recipe.folder.join(format!("{}.log", recipe.name))
}

pub async fn serves(part: &Part) -> Result<()> {
    wait::until(&format!("{} to take connections", part.recipe.name), PATIENCE, || async {
        Ok(TcpStream::connect(part.recipe.address).await.map(|_| ()).map_err(|error| error.to_string()))
    })
    .await
}

pub fn has_ended(part: &mut Part) -> bool {
    !matches!(part.child.try_wait(), Ok(None))
}

/// The process that works: of one in a process namespace of its own the first in there, else itself.
fn worker(part: &Part) -> Result<u32> {
    let id = part.child.id().context("it has ended")?;
    if part.recipe.program.file_name().is_some_and(|name| name == "unshare") {
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        return children
            .split_whitespace()
            .next()
            .context("it has no child")?
            .parse()
            .context("its child's id");
    }
    Ok(id)
}

pub async fn signal(part: &Part, name: &str) -> Result<()> {
    let id = worker(part)?.to_string();
    let killed = Command::new("kill").args(["-s", name, &id]).output().await.context("running kill")?;
    ensure!(killed.status.success(), "kill -s {name} {}: {killed:?}", part.recipe.name);
    Ok(())
}

/// Waits for its end; after `at_most` it is killed.
pub async fn ended(part: &mut Part, at_most: Duration) -> Result<bool> {
    let by_itself = tokio::time::timeout(at_most, part.child.wait()).await.is_ok();
    if !by_itself {
        signal(part, "KILL").await.ok();
        part.child.wait().await?;
    }
    Ok(by_itself)
}

pub async fn kill(part: &mut Part) -> Result<()> {
    if !has_ended(part) {
        signal(part, "KILL").await?;
        part.child.wait().await?;
    }
    Ok(())
}

/// Whether the part started this process, or one that did.
pub fn runs_under(part: &Part, process: u32) -> bool {
    let parent = |id: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let top = part.child.id();
    top.is_some()
        && std::iter::successors(Some(process), parent).take_while(|id| *id > 1).any(|id| Some(id) == top)
}

/// Programs that a step of a build runs: their command lines hold `word`.
pub fn steps(word: &str) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let runs = |id: &u32| {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        line.starts_with(b"/bin/sh\0-c\0") && String::from_utf8_lossy(&line).contains(word)
    };
    ids.filter(runs).collect()
}

/// A file system in a file. Unmounted when this is dropped.
#[derive(Debug)]
pub struct Disk {
    pub at: PathBuf,
}

pub fn disk(image: &Path, at: &Path) -> Result<Disk> {
    std::fs::create_dir_all(at)?;
    File::create(image)?.set_len(DISK)?;
    run("mkfs.ext4", &["-q", "-F", "-m", "0", &image.to_string_lossy()])?;
    run("mount", &["-o", "loop", &image.to_string_lossy(), &at.to_string_lossy()])?;
    Ok(Disk { at: at.to_owned() })
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Nothing more can be done about it here; the folder's removal will fail and say so.
        run("umount", &["--lazy", &self.at.to_string_lossy()]).ok();
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = std::process::Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("running {program}"))?;
    ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

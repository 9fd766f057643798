//! The processes that work in the repositories: the receiver runs there, and so do the git processes it starts.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::process::{Child, Command};

use super::schedule::Kill;

const LOOK_EVERY: Duration = Duration::from_millis(1);
/// How long to wait for a git process to kill.
const PATIENCE: Duration = Duration::from_secs(2);
/// A process that is just being started is found by the next look.
const LOOKS: usize = 5;

/// Returns with the receiver's end, if it was killed.
pub async fn kill(receiver: &mut Child, repositories: &Path, kill: Kill, choice: usize) -> Result<()> {
    let id = receiver.id().context("the receiver has ended")?;
    match kill {
        Kill::Everything => {
            signal([&[id], &children(repositories, id)[..]].concat()).await?;
            receiver.wait().await?;
            kill_children(repositories).await?;
        }
        Kill::Receiver => {
            signal(vec![id]).await?;
            receiver.wait().await?;
        }
        Kill::Child => {
            until(|| !children(repositories, id).is_empty()).await;
            let children = children(repositories, id);
            let child = children.get(choice % children.len().max(1));
            // Nobody pushes: then the receiver it is, so that every kill kills.
            signal(vec![*child.unwrap_or(&id)]).await?;
            if child.is_none() {
                receiver.wait().await?;
            }
        }
    }
    Ok(())
}

/// What a killed receiver left running.
pub async fn kill_children(repositories: &Path) -> Result<()> {
    for _ in 0..LOOKS {
        let left = children(repositories, 0);
        if left.is_empty() {
            break;
        }
        signal(left).await?;
    }
    Ok(())
}

/// Waits until git is just reading a pack: its push is written down, and not taken yet.
pub async fn until_receiving(repositories: &Path) {
    until(|| children(repositories, 0).into_iter().any(is_index_pack)).await;
}

async fn until(is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() && started.elapsed() < PATIENCE {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Those that run in the repositories, but for the receiver itself.
fn children(repositories: &Path, receiver: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let runs_there = |id: &u32| {
        let at = std::fs::read_link(format!("/proc/{id}/cwd"));
        *id != receiver && at.is_ok_and(|at| at.starts_with(repositories))
    };
    let mut children: Vec<u32> = ids.filter(runs_there).collect();
    children.sort_unstable();
    children
}

fn is_index_pack(id: u32) -> bool {
    let command = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    command.split(|byte| *byte == 0).any(|word| word == b"index-pack" || word == b"unpack-objects")
}

/// Of several that are gone already none is missed.
async fn signal(ids: Vec<u32>) -> Result<()> {
    let ids = ids.iter().map(u32::to_string);
    Command::new("kill").arg("-KILL").args(ids).output().await.context("running kill")?;
    Ok(())
}

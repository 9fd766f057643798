//! Git: the command-line client for transport, libgit2 for reading objects. Nothing is ever checked out.
//!
//! [`ls_remote`] asks what a branch is, [`fetch`] brings one commit into an application's mirror as a [`Snapshot`], if
//! it can from a pack that our own receiver made for the commits that are [`kept`] there.
//! [`bare`] is the other side: the repositories that are pushed to here.

use std::process::Stdio;
use std::time::Duration;

use domain::commit::Commit;

pub mod bare;
mod check;
mod classify;
mod command;
mod error;
mod mirror;
mod pack;
mod remote;
mod snapshot;

pub use error::GitError;
pub use mirror::{discard, discard_if, fetch, kept, mirror_bytes};
pub use remote::{BadRemote, Credentials, Remote};
pub use snapshot::Snapshot;

const LS_REMOTE_TIMEOUT: Duration = Duration::from_secs(20);

/// What `branch` is on the remote now; `None` when there is no such branch.
pub async fn ls_remote(remote: &Remote, branch: &str) -> Result<Option<Commit>, GitError> {
    let name = format!("refs/heads/{branch}");
    let arguments = ["ls-remote", "--quiet", "--", remote.url(), &name];
    let output = command::run(remote, &arguments, Stdio::null(), LS_REMOTE_TIMEOUT).await?.into_stdout()?;
    // The pattern also matches names that merely end with it.
    let line = output.lines().find_map(|line| line.split_once('\t').filter(|(_, it)| *it == name));
    let commit = line.map(|(commit, _)| Commit::parse(commit)).transpose();
    commit.map_err(|error| GitError::Other(anyhow::Error::new(error).context("git ls-remote")))
}

#[cfg(test)]
mod tests;

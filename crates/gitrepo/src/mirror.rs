//! The bare mirror of an application: one commit is fetched into it at a time, without history.
//!
//! Builds of an application are serialized, so there is one writer. What makes that certain on one machine is a file
//! lock that git inherits: a git that outlived its builder still holds it.

use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use domain::commit::Commit;
use git2::{Oid, Repository};
use tokio::time::Instant;

use crate::command::{self, Ended};
use crate::{GitError, Remote, Snapshot, pack};

mod kept;
mod unused;

pub use kept::kept;
use kept::{REFS, keep};
pub use unused::{discard_if, mirror_bytes};

const FETCH_TIMEOUT: Duration = Duration::from_secs(600);
const GC_TIMEOUT: Duration = Duration::from_secs(120);
const LOCK_PATIENCE: Duration = Duration::from_secs(30);
/// How far back a branch is fetched from a forge that gives no commit out by its id.
const BRANCH_DEPTH: &str = "--depth=50";
/// Every fetch adds a pack or loose objects; so many are put together before the next one. Git's own limit for loose
/// objects is 6700 in 256 directories, of which it looks into one.
const PACKS_MAX: usize = 40;
const LOOSE_SAMPLE: &str = "objects/17";
const LOOSE_SAMPLE_MAX: usize = 27;

/// Brings `commit` into `mirror`, which is made when it is missing and made anew, once, when it turns out to be broken.
/// `pack`: what the commit has and those that are [`kept`] have not, when somebody made that.
pub async fn fetch(
    mirror: &Path,
    remote: &Remote,
    commit: &Commit,
    branch: &str,
    pack: Option<Vec<u8>>,
) -> Result<Snapshot, GitError> {
    let lock = lock(mirror).await?;
    match attempt(mirror, &lock, remote, commit, branch, pack).await {
        Err(GitError::Other(error)) => {
            tracing::warn!(mirror = %mirror.display(), "making the mirror anew: {error:#}");
            remove(mirror)?;
            attempt(mirror, &lock, remote, commit, branch, None).await
        }
        ended => ended,
    }
}

/// Removes a mirror whose objects turned out to be broken when they were read.
pub async fn discard(mirror: &Path) -> Result<(), GitError> {
    let _lock = lock(mirror).await?;
    remove(mirror)
}

async fn attempt(
    mirror: &Path,
    lock: &File,
    remote: &Remote,
    commit: &Commit,
    branch: &str,
    pack: Option<Vec<u8>>,
) -> Result<Snapshot, GitError> {
    if commit.as_str().len() != 40 {
        return Err(GitError::Invalid("repositories with SHA-256 object names are not supported".to_owned()));
    }
    let path = mirror.to_path_buf();
    let id = Oid::from_str(commit.as_str())?;
    let (has, is_full) = blocking(move || prepare(&path, id)).await?;
    if is_full {
        collect_garbage(mirror, lock, remote).await;
    }
    if !has && !unpack(mirror, id, pack).await {
        fetch_commit(mirror, lock, remote, commit, branch).await?;
    }
    let (path, commit) = (mirror.to_path_buf(), commit.clone());
    blocking(move || {
        let snapshot = Snapshot::read(&path, &commit)?;
        keep(&path, id)?;
        Ok(snapshot)
    })
    .await
}

/// Whether the commit came with the pack. One that cannot be used is no failure: git is asked then.
async fn unpack(mirror: &Path, commit: Oid, pack: Option<Vec<u8>>) -> bool {
    let Some(pack) = pack else { return false };
    let path = mirror.to_path_buf();
    let taken = blocking(move || {
        let repository = Repository::open_bare(&path)?;
        pack::take(&repository, &pack)?;
        // Its parents need not be here, and git has to know that.
        let mut shallow = File::options().create(true).append(true).open(path.join("shallow"))?;
        writeln!(shallow, "{commit}")?;
        repository.reference(&format!("{REFS}/{commit}"), commit, true, "came with a pack")?;
        Ok(())
    });
    match taken.await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(mirror = %mirror.display(), "a pack could not be used: {error}");
            false
        }
    }
}

async fn fetch_commit(
    mirror: &Path,
    lock: &File,
    remote: &Remote,
    commit: &Commit,
    branch: &str,
) -> Result<(), GitError> {
    let refspec = format!("+{commit}:{REFS}/{commit}");
    let fetched = git_fetch(mirror, lock, remote, "--depth=1", &refspec).await?;
    if !fetched.is_not_given_out() {
        return fetched.into_stdout().map(drop);
    }
    let fetched = git_fetch(mirror, lock, remote, BRANCH_DEPTH, &format!("refs/heads/{branch}")).await?;
    if fetched.is_not_given_out() {
        return Err(GitError::Gone(commit.clone()));
    }
    fetched.into_stdout()?;
    let repository = Repository::open_bare(mirror)?;
    let id = Oid::from_str(commit.as_str())?;
    if repository.find_commit(id).is_err() {
        return Err(GitError::Gone(commit.clone()));
    }
    repository.reference(&format!("{REFS}/{commit}"), id, true, "fetched with its branch")?;
    Ok(())
}

async fn git_fetch(
    mirror: &Path,
    lock: &File,
    remote: &Remote,
    depth: &str,
    refspec: &str,
) -> Result<Ended, GitError> {
    let git_dir = format!("--git-dir={}", mirror.display());
    let arguments = [
        &git_dir,
        "fetch",
        "--quiet",
        depth,
        "--no-tags",
        "--no-write-fetch-head",
        "--no-auto-maintenance",
        "--no-recurse-submodules",
        "--",
        remote.url(),
        refspec,
    ];
    command::run(remote, &arguments, inherited(lock)?, FETCH_TIMEOUT).await
}

/// Not worth failing a build for.
async fn collect_garbage(mirror: &Path, lock: &File, remote: &Remote) {
    let git_dir = format!("--git-dir={}", mirror.display());
    let collected = async {
        let arguments = [&git_dir, "gc", "--quiet", "--prune=now"];
        command::run(remote, &arguments, inherited(lock)?, GC_TIMEOUT).await?.into_stdout()
    };
    if let Err(error) = collected.await {
        tracing::warn!(mirror = %mirror.display(), "git gc: {error}");
    }
}

/// The lock as git's standard input, which it never reads: the lock is free only when git has ended too.
fn inherited(lock: &File) -> Result<Stdio, GitError> {
    Ok(lock.try_clone()?.into())
}

fn lock_path(mirror: &Path) -> PathBuf {
    let mut path = mirror.as_os_str().to_owned();
    path.push(".lock");
    PathBuf::from(path)
}

async fn lock(mirror: &Path) -> Result<File, GitError> {
    let path = lock_path(mirror);
    if let Some(parent) = path.parent() {
        let made =
            fs::create_dir_all(parent).with_context(|| format!("making the directory {}", parent.display()));
        made.map_err(GitError::Other)?;
    }
    let file = File::create(&path)?;
    let since = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if since.elapsed() < LOCK_PATIENCE => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(TryLockError::WouldBlock) => {
                return Err(GitError::Unavailable(
                    "another fetch of the same repository does not end".to_owned(),
                ));
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
}

/// Makes the mirror if it is missing and clears what a killed git left. Says whether the commit is already there,
/// and whether it is time to collect garbage.
fn prepare(mirror: &Path, commit: Oid) -> Result<(bool, bool), GitError> {
    if !mirror.join("HEAD").exists() {
        Repository::init_bare(mirror)?;
    }
    for directory in [mirror, &mirror.join(REFS), &mirror.join("objects/pack")] {
        for entry in entries(directory)? {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.ends_with(".lock") || name.starts_with("tmp_") || name == "gc.pid" {
                fs::remove_file(entry.path())?;
            }
        }
    }
    let packs = entries(&mirror.join("objects/pack"))?.len() / 2;
    let loose = entries(&mirror.join(LOOSE_SAMPLE))?.len();
    let has = Repository::open_bare(mirror)?.find_reference(&format!("{REFS}/{commit}")).is_ok();
    Ok((has, packs > PACKS_MAX || loose > LOOSE_SAMPLE_MAX))
}

/// What is in a directory; nothing when there is none.
fn entries(directory: &Path) -> Result<Vec<fs::DirEntry>, GitError> {
    match fs::read_dir(directory) {
        Ok(entries) => Ok(entries.collect::<Result<_, _>>()?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

fn remove(mirror: &Path) -> Result<(), GitError> {
    match fs::remove_dir_all(mirror) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, GitError> + Send + 'static,
) -> Result<T, GitError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| GitError::Other(error.into()))?
}

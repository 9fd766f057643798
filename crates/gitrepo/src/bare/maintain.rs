//! Puts the packs of a repository together, and drops what no ref has led to for long, without stopping pushes.
//!
//! Git's own `repack -d` beside a push can drop objects that a push in progress counts on: the push finds them there,
//! they are dropped, and only then it makes the ref that leads to them. Here nothing is dropped while any push runs:
//!
//! 1. Beside pushes, two packs are made: one of all that the refs of the moment lead to, and one of the rest that is not
//!    older than two weeks. Nothing is taken away yet. A pack that a push adds meanwhile is not one of the old ones.
//! 2. With the repository's lock for itself, so that no push is between its check and its ref, it asks whether every ref
//!    is one of those that the first pack was made for. If so, the old packs hold nothing that a ref needs, and go; that
//!    takes milliseconds. If not, the new packs go, and the next time may be quieter.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::anyhow;
use git2::Oid;

use super::{Repository, files, lock};
use crate::{GitError, command};

/// Every push that brings something adds a pack.
pub(super) const PACKS_MAX: usize = 40;
const EXPIRATION: &str = "--cruft-expiration=2.weeks.ago";
const PACK_TIMEOUT: Duration = Duration::from_secs(600);
/// How long to wait for a moment in which nothing is being pushed.
const LOCK_PATIENCE: Duration = Duration::from_secs(20);
/// The index first: a pack without one is invisible, and the janitor removes it.
const EXTENSIONS: [&str; 4] = ["idx", "pack", "rev", "mtimes"];

/// The name of a pack, `pack-` and a hash.
type Packs = HashSet<String>;

impl Repository {
    /// Does nothing unless there are many packs. Never call it twice at once for a repository. After an error,
    /// [`Repository::clean`] removes what it may have left.
    pub async fn maintain(&self) -> Result<(), GitError> {
        let old = self.packs()?;
        if old.len() <= PACKS_MAX {
            return Ok(());
        }
        self.repack(old).await
    }

    pub(super) async fn repack(&self, old: Packs) -> Result<(), GitError> {
        let Some(lock) = self.share(Duration::ZERO)? else { return Ok(()) };
        let repository = self.clone();
        let tips = blocking(move || repository.tips()).await?;
        let new = self.pack(&old, &tips).await?;
        drop(lock);
        let repository = self.clone();
        blocking(move || repository.swap(&old, &new, &tips)).await
    }

    /// Makes the new packs.
    pub(super) async fn pack(&self, old: &Packs, tips: &HashSet<Oid>) -> Result<Packs, GitError> {
        let revisions: String = tips.iter().map(|id| format!("{id}\n")).collect();
        let mut new = self.pack_objects("--revs", &[], &revisions).await?;
        // What is in the new pack, and what is only in the old ones.
        let kept = new.iter().map(|name| format!("{name}.pack\n"));
        let listed: String = kept.chain(old.difference(&new).map(|name| format!("-{name}.pack\n"))).collect();
        new.extend(self.pack_objects("--cruft", &[EXPIRATION], &listed).await?);
        Ok(new)
    }

    async fn pack_objects(&self, mode: &str, more: &[&str], input: &str) -> Result<Packs, GitError> {
        let base = self.path.join("objects/pack/pack");
        let mut command =
            self.command(&["pack-objects", mode, "--quiet", "--non-empty", "--delta-base-offset"]);
        command.args(more).arg(base).stdin(Stdio::piped());
        let Some(ended) = command::end(command, input.as_bytes(), PACK_TIMEOUT).await? else {
            return Err(GitError::Other(anyhow!(
                "packing {} did not end within {} s",
                self.path.display(),
                PACK_TIMEOUT.as_secs()
            )));
        };
        Ok(ended.into_local_stdout()?.lines().map(|hash| format!("pack-{hash}")).collect())
    }

    /// Removes the old packs or, when refs have come that they may be needed for, the new ones.
    pub(super) fn swap(&self, old: &Packs, new: &Packs, tips: &HashSet<Oid>) -> Result<(), GitError> {
        let alone = lock::alone(&self.lock_file(), LOCK_PATIENCE)?;
        if alone.is_some() && self.tips()?.is_subset(tips) {
            files::sync(&self.path.join("objects/pack"))?;
            self.remove(old.difference(new))
        } else {
            // Every object in them is in an old one as well.
            self.remove(new.difference(old))
        }
    }

    fn remove<'a>(&self, packs: impl Iterator<Item = &'a String>) -> Result<(), GitError> {
        for name in packs {
            for extension in EXTENSIONS {
                match fs::remove_file(self.pack_file(name, extension)) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// What all refs point to.
    pub(super) fn tips(&self) -> Result<HashSet<Oid>, GitError> {
        let repository = self.open()?;
        let mut tips = HashSet::new();
        for reference in repository.references()? {
            tips.extend(reference?.target());
        }
        Ok(tips)
    }

    /// The packs that no push is just bringing.
    pub(super) fn packs(&self) -> Result<Packs, GitError> {
        let names = files::entries(&self.path.join("objects/pack"))?;
        let mut packs = Packs::new();
        for name in names
            .iter()
            .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".idx")?.to_owned()))
        {
            if !self.pack_file(&name, "keep").try_exists()? {
                packs.insert(name);
            }
        }
        Ok(packs)
    }

    fn pack_file(&self, name: &str, extension: &str) -> PathBuf {
        self.path.join("objects/pack").join(format!("{name}.{extension}"))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, GitError> + Send + 'static,
) -> Result<T, GitError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| GitError::Other(error.into()))?
}

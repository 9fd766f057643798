//! Commits of the last builds are kept: the next fetch brings only what differs from them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use domain::commit::Commit;
use git2::Oid;

use super::{blocking, entries};
use crate::GitError;

pub(super) const REFS: &str = "refs/slipway";
const REFS_KEPT: usize = 5;

/// The commits that are whole in the mirror, the last one used first.
pub async fn kept(mirror: &Path) -> Result<Vec<Commit>, GitError> {
    let mirror = mirror.to_path_buf();
    blocking(move || {
        let refs = refs(&mirror)?;
        let names = refs.iter().rev().filter_map(|(_, path)| path.file_name()?.to_str());
        Ok(names.filter_map(|name| Commit::parse(name).ok()).collect())
    })
    .await
}

/// Marks the commit as the last one used, and forgets those before the last few.
pub(super) fn keep(mirror: &Path, commit: Oid) -> Result<(), GitError> {
    let file = File::options().write(true).open(mirror.join(REFS).join(commit.to_string()))?;
    file.set_modified(SystemTime::now())?;
    for (_, path) in refs(mirror)?.iter().rev().skip(REFS_KEPT) {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// The files of the refs, by the time at which their commits were last used.
pub(super) fn refs(mirror: &Path) -> Result<Vec<(SystemTime, PathBuf)>, GitError> {
    let mut refs = Vec::new();
    for entry in entries(&mirror.join(REFS))? {
        refs.push((entry.metadata()?.modified()?, entry.path()));
    }
    refs.sort();
    Ok(refs)
}

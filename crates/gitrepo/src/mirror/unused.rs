//! Mirrors that no build uses any more. Blocks.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::time::SystemTime;

use super::kept::refs;
use super::{entries, lock_path, remove};
use crate::GitError;

/// Removes the mirror if `is_unused` says so of the time at which it was last used, unless somebody fetches into it just
/// now. `false`: it stays. A build reads its mirror after its fetch, without the lock: the time has to be longer ago than
/// any build takes.
pub fn discard_if(mirror: &Path, is_unused: impl FnOnce(SystemTime) -> bool) -> Result<bool, GitError> {
    // The lock's file stays: who waits for it and who comes later must mean the same one.
    let lock = File::create(lock_path(mirror))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(false),
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    let goes = is_unused(used_at(mirror)?);
    if goes {
        remove(mirror)?;
    }
    Ok(goes)
}

/// When a commit of it was last wanted, or, without any, when it was made.
fn used_at(mirror: &Path) -> Result<SystemTime, GitError> {
    match refs(mirror)?.pop() {
        Some((used_at, _)) => Ok(used_at),
        None => Ok(fs::metadata(mirror)?.modified()?),
    }
}

/// What its files take. Files that go meanwhile are not counted.
pub fn mirror_bytes(mirror: &Path) -> u64 {
    let Ok(entries) = entries(mirror) else { return 0 };
    let bytes = entries.into_iter().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => mirror_bytes(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    bytes.sum()
}

//! The janitor: removes what killed git processes leave. Some of it makes every later push of the repository fail.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;

use super::{Repository, files, layout, lock};
use crate::GitError;

/// How long a child may outlive its receiver: it has no input any more.
const PATIENCE: Duration = Duration::from_secs(10);
/// What receive-pack writes into the `.keep` that protects a pack until its ref is there.
const KEPT_BY: &[u8] = b"receive-pack ";
const KEEP_MAX: u64 = 4096;
const QUARANTINE_TRIES: usize = 20;

impl Repository {
    /// Removes locks, quarantines and half written packs, and says how many. Nothing writes to the repository meanwhile:
    /// it waits for children that outlived their receiver, and pushes wait for it. An old repository also gets the
    /// layout of the new ones. Blocks.
    pub fn clean(&self) -> Result<usize, GitError> {
        if !self.path.try_exists()? {
            return Ok(0);
        }
        let Some(_alone) = lock::alone(&self.lock_file(), PATIENCE)? else {
            return Err(GitError::Other(anyhow!(
                "{} is still being written to after {} s: it is cleaned another time",
                self.path.display(),
                PATIENCE.as_secs()
            )));
        };
        if layout::establish(&self.path)? {
            tracing::info!(repository = %self.path.display(), "its objects are in {} now", layout::ODB);
        }
        let mut removed = 0;
        let objects = self.path.join(layout::ODB);
        for entry in files::entries(&objects)? {
            if entry.file_name().to_string_lossy().starts_with("tmp_objdir-") {
                removed += remove_quarantine(&entry.path())?;
            }
        }
        let (pins, packs) = (self.path.join("refs/pushes"), objects.join("pack"));
        files::walk(&self.path, &mut |path, metadata| {
            let gone = if metadata.is_dir() {
                path.starts_with(&pins)
                    && path != pins
                    && is_gone(fs::remove_dir(path), ErrorKind::DirectoryNotEmpty)?
            } else {
                is_left(path, metadata, &packs)? && is_gone(fs::remove_file(path), ErrorKind::NotFound)?
            };
            removed += usize::from(gone);
            Ok(())
        })?;
        Ok(removed)
    }
}

/// The index-pack of a killed receive-pack may still be writing into its quarantine: what it does there is seen by nobody.
fn remove_quarantine(path: &Path) -> io::Result<usize> {
    let mut tries = 0;
    loop {
        tries += 1;
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty && tries < QUARANTINE_TRIES => {}
            removed => return is_gone(removed, ErrorKind::NotFound).map(usize::from),
        }
    }
}

/// Whether it was removed, or not for this reason.
fn is_gone(removed: io::Result<()>, unless: ErrorKind) -> io::Result<bool> {
    match removed {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == unless => Ok(false),
        Err(error) => Err(error),
    }
}

/// No ref's name ends in `.lock`, but one may look like a pack.
fn is_left(path: &Path, metadata: &Metadata, packs: &Path) -> io::Result<bool> {
    let text = |it: Option<&OsStr>| it.unwrap_or_default().to_string_lossy().into_owned();
    let name = text(path.file_name());
    Ok(match text(path.extension()).as_str() {
        "lock" => name != lock::NAME,
        _ if path.parent() != Some(packs) => false,
        "keep" => metadata.len() < KEEP_MAX && fs::read(path)?.starts_with(KEPT_BY),
        // The index comes last and goes first: without it no git sees a pack.
        "pack" | "rev" | "mtimes" => !path.with_extension("idx").try_exists()?,
        _ => name.starts_with("tmp_") || name.starts_with(".tmp-"),
    })
}

//! Walking folders that others write to at the same time.

use std::fs::{self, DirEntry, File, Metadata};
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::GitError;

/// What is in a folder; nothing when there is none.
pub(super) fn entries(folder: &Path) -> io::Result<Vec<DirEntry>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Visits all that is below `folder`, and the folder itself last. Follows no symbolic links.
pub(super) fn walk(
    folder: &Path,
    visit: &mut impl FnMut(&Path, &Metadata) -> io::Result<()>,
) -> Result<(), GitError> {
    // Each folder twice: the second time all below it has been visited.
    let mut folders = vec![(folder.to_path_buf(), false)];
    while let Some((folder, entered)) = folders.pop() {
        if entered {
            if let Some(metadata) = known(fs::symlink_metadata(&folder))? {
                visit(&folder, &metadata)?;
            }
            continue;
        }
        folders.push((folder.clone(), true));
        for entry in entries(&folder)? {
            let Some(metadata) = known(entry.metadata())? else { continue };
            if metadata.is_dir() {
                folders.push((entry.path(), false));
            } else {
                visit(&entry.path(), &metadata)?;
            }
        }
    }
    Ok(())
}

/// Writes a file, or the names in a folder, to the disk.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// `None`: it is gone.
fn known(metadata: io::Result<Metadata>) -> io::Result<Option<Metadata>> {
    match metadata {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

//! Where a repository keeps its objects: in `odb`, to which `objects` is a symbolic link.
//!
//! The quarantine of a push borrows from the repository itself, and git asks whomever objects are borrowed from for its
//! refs, in a process of its own, although here they are the very refs that it knows. Of a folder that is not called
//! `objects` it asks nothing: that is 2 to 4 ms of each push. To all of git and to libgit2 the link is as good as a
//! folder, but for `git clone` of a path, which wants `--no-local` then.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::symlink;
use std::path::Path;

use super::files;

/// The folder itself. Whoever walks a repository and follows no links finds all objects below it.
pub(super) const ODB: &str = "odb";
const OBJECTS: &str = "objects";
/// The link before it has its name.
const NEW_LINK: &str = "objects.new";

/// Brings a repository into this shape, or goes on where a crash ended that. `true`: it was not in it. Nobody may write
/// to it meanwhile. Between the two renames it is no repository to git, which tells its clients to come again.
pub(super) fn establish(repository: &Path) -> io::Result<bool> {
    let (objects, link) = (repository.join(OBJECTS), repository.join(NEW_LINK));
    let is_folder = match fs::symlink_metadata(&objects) {
        Ok(metadata) if metadata.is_symlink() => return Ok(false),
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(error),
    };
    match fs::remove_file(&link) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // First, since it is what may find no room on the disk.
    symlink(ODB, &link)?;
    if is_folder {
        fs::rename(&objects, repository.join(ODB))?;
    }
    fs::rename(&link, &objects)?;
    files::sync(repository)?;
    Ok(true)
}

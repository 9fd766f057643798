//! Takes a small push into the repository without a process of git: starting `git receive-pack`, and the three processes
//! that it starts, takes longer than all that there is to do.
//!
//! Only what is plainly good is taken: each part of the push is of a form that git accepts, and all that its commit leads
//! to is there. Whatever else comes, be it wrong or merely rare, is for git to judge, with its own words. As with git, the
//! objects wait in a quarantine until they were judged, and are on the disk before the pin is.

mod connected;
mod sound;
mod unpack;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use domain::commit::Commit;
use git2::{Buf, Indexer, Odb, Oid};
use uuid::Uuid;

use self::unpack::Objects;
use super::{PUSH_PATIENCE, Repository, files, layout};
use crate::GitError;

/// Larger packs are git's. With each limit inside: a push like this may take some 40 MB of memory for a moment.
pub const PACK_MAX: usize = 1 << 20;
/// The janitor knows by the start of its name what this is.
const QUARANTINE: &str = "tmp_objdir-direct-";
const FILE_MODE: u32 = 0o444;

/// A push that is plainly good, whose objects are on the disk and no part of the repository yet. Dropped, it is forgotten.
#[derive(Debug)]
pub struct Staged {
    repository: PathBuf,
    commit: Commit,
    /// Removed with what is left in it.
    quarantine: Option<Quarantine>,
    /// The repository is not cleaned meanwhile.
    _lock: File,
}

#[derive(Debug)]
struct Quarantine(PathBuf);

impl Drop for Quarantine {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::debug!("a quarantine is left to the janitor: {error}");
        }
    }
}

impl Repository {
    /// `None`: git is to judge the push of `new` with this pack. Blocks.
    pub fn stage(&self, pack: &[u8], new: &Commit) -> Result<Option<Staged>, GitError> {
        if pack.len() > PACK_MAX {
            return Ok(None);
        }
        let Some(lock) = self.share(PUSH_PATIENCE)? else { return Ok(None) };
        let repository = self.open()?;
        let odb = repository.odb()?;
        let Some(objects) = unpack::unpack(pack, &odb) else { return Ok(None) };
        let new_id = Oid::from_str(new.as_str())?;
        if connected::connected(&repository, &odb, &objects, new_id).is_none() {
            return Ok(None);
        }
        let quarantine = (!objects.is_empty()).then(|| quarantine(&self.path, &objects)).transpose()?;
        Ok(Some(Staged { repository: self.path.clone(), commit: new.clone(), quarantine, _lock: lock }))
    }
}

impl Staged {
    /// Makes its objects the repository's, and `pin` lead to its commit: from then on it is taken. After an error nobody
    /// knows, as after a crash. Blocks.
    pub fn pin(mut self, pin: &str) -> Result<(), GitError> {
        if let Some(quarantine) = self.quarantine.take() {
            release(&quarantine.0, &self.repository.join(layout::ODB).join("pack"))?;
        }
        Ok(write_ref(&self.repository, pin, &self.commit)?)
    }
}

/// The objects as a pack of their own. What is stored is what was judged: nothing of the pack that came is kept.
fn quarantine(repository: &Path, objects: &Objects) -> Result<Quarantine, GitError> {
    let folder = repository.join(layout::ODB).join(format!("{QUARANTINE}{}", Uuid::new_v4()));
    fs::create_dir(&folder)?;
    let quarantine = Quarantine(folder);
    let memory = Odb::new()?;
    memory.add_new_mempack_backend(1)?;
    for object in objects.values() {
        memory.write(object.kind, &object.bytes)?;
    }
    let memory = git2::Repository::from_odb(memory)?;
    let mut builder = memory.packbuilder()?;
    builder.set_threads(1);
    for id in objects.keys() {
        builder.insert_object(*id, None)?;
    }
    let mut pack = Buf::new();
    builder.write_buf(&mut pack)?;
    let mut indexer = Indexer::new(None, &quarantine.0, FILE_MODE, false)?;
    indexer.write_all(&pack)?;
    indexer.commit()?;
    for entry in files::entries(&quarantine.0)? {
        files::sync(&entry.path())?;
    }
    Ok(quarantine)
}

/// The index comes last: without it no git sees a pack.
fn release(quarantine: &Path, packs: &Path) -> io::Result<()> {
    fs::create_dir_all(packs)?;
    let mut names: Vec<_> = files::entries(quarantine)?.into_iter().map(|entry| entry.file_name()).collect();
    names.sort_by_key(|name| Path::new(name).extension().is_some_and(|it| it == "idx"));
    for name in names {
        fs::rename(quarantine.join(&name), packs.join(&name))?;
    }
    files::sync(packs)
}

/// A new ref whose name is nobody else's, as git would write it.
fn write_ref(repository: &Path, name: &str, commit: &Commit) -> io::Result<()> {
    let path = repository.join(name);
    let folder = path.parent().ok_or_else(|| io::Error::other(anyhow!("{name} is no ref")))?;
    fs::create_dir_all(folder)?;
    let lock = repository.join(format!("{name}.lock"));
    let mut file = File::options().write(true).create_new(true).open(&lock)?;
    file.write_all(format!("{commit}\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(&lock, &path)?;
    // Its folders are as new as it is.
    let refs = repository.join("refs");
    folder.ancestors().take_while(|it| it.starts_with(&refs)).try_for_each(files::sync)
}

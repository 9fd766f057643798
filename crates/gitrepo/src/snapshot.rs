//! One commit as a build reads it: the listing of its tree, and the content of each file straight from the objects.

use std::fmt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use domain::commit::Commit;
use git2::{ObjectType, Oid, Repository};
use plan::tree::{Entry, Kind, Tree, order};

use crate::{GitError, check};

const ENTRIES_MAX: usize = 200_000;
const PATH_MAX: usize = 4096;
/// A file is held in memory as a whole while it is sent.
const FILE_MAX: u64 = 256 << 20;
const SUBJECT_MAX: usize = 200;

const TREE: i32 = 0o040_000;
const SYMLINK: i32 = 0o120_000;
const SUBMODULE: i32 = 0o160_000;

/// A commit in a mirror, without anything that a build should not meet.
pub struct Snapshot {
    /// The first line of the commit's message.
    pub subject: String,
    pub author: String,
    tree: Tree,
    /// The object of each entry of `tree`.
    objects: Vec<Oid>,
    /// libgit2 allows one thread at a time.
    repository: Mutex<Repository>,
}

impl Snapshot {
    pub(crate) fn read(mirror: &Path, commit: &Commit) -> Result<Snapshot, GitError> {
        let repository = Repository::open_bare(mirror)?;
        let found = repository.find_commit(Oid::from_str(commit.as_str())?)?;
        let subject = String::from_utf8_lossy(found.message_bytes());
        let subject =
            subject.trim_start().lines().next().unwrap_or_default().chars().take(SUBJECT_MAX).collect();
        let author = String::from_utf8_lossy(found.author().name_bytes()).chars().take(SUBJECT_MAX).collect();
        let mut listed = list(&repository, found.tree_id())?;
        listed.sort_by(|(a, _), (b, _)| order(&a.path, &b.path));
        let (entries, objects): (Vec<_>, Vec<_>) = listed.into_iter().unzip();
        let tree = Tree::new(entries);
        check::tree(&tree, &objects, &repository.odb()?)?;
        drop(found);
        Ok(Snapshot { subject, author, tree, objects, repository: Mutex::new(repository) })
    }

    pub const fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The id of the object of the entry at `index`: equal objects have equal ids.
    pub fn object(&self, index: usize) -> &[u8] {
        self.objects[index].as_bytes()
    }

    /// The content of the file at `index` of the tree's entries. Blocks.
    pub fn content(&self, index: usize) -> anyhow::Result<Vec<u8>> {
        let object = self.objects.get(index).context("no such entry")?;
        let repository = self.repository.lock().unwrap_or_else(PoisonError::into_inner);
        let odb = repository.odb()?;
        let object = odb.read(*object)?;
        Ok(object.data().to_vec())
    }

    /// The content of the file at `path`. Blocks.
    pub fn file(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let index = self.tree.position(path).with_context(|| format!("there is no {path}"))?;
        self.content(index).with_context(|| format!("reading {path}"))
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("subject", &self.subject)
            .field("entries", &self.objects.len())
            .finish()
    }
}

/// Every entry below `root`. Without recursion: how deep directories nest is for whoever pushes to say.
fn list(repository: &Repository, root: Oid) -> Result<Vec<(Entry, Oid)>, GitError> {
    let odb = repository.odb()?;
    let mut listed = Vec::new();
    let mut directories = vec![(String::new(), root)];
    while let Some((parent, tree)) = directories.pop() {
        for item in &repository.find_tree(tree)? {
            let path = join(&parent, item.name_bytes())?;
            let mut entry = Entry { path, kind: Kind::File, size: 0, link: String::new() };
            match item.filemode() {
                TREE => {
                    entry.kind = Kind::Directory;
                    directories.push((entry.path.clone(), item.id()));
                }
                SUBMODULE => entry.kind = Kind::Submodule,
                SYMLINK => {
                    entry.kind = Kind::Symlink;
                    entry.link = link(&odb, item.id(), &entry.path)?;
                    entry.size = entry.link.len() as u64;
                }
                mode => {
                    entry.kind = if mode & 0o100 == 0 { Kind::File } else { Kind::Executable };
                    entry.size = size(&odb, item.id(), &entry.path)?;
                }
            }
            listed.push((entry, item.id()));
        }
        if listed.len() > ENTRIES_MAX {
            return Err(GitError::Invalid(format!(
                "the repository has more than {ENTRIES_MAX} files and directories"
            )));
        }
    }
    Ok(listed)
}

/// Git itself refuses some of these names, but a tree object can be made by anything.
fn join(parent: &str, name: &[u8]) -> Result<String, GitError> {
    let Ok(name) = std::str::from_utf8(name) else {
        let shown = String::from_utf8_lossy(name);
        return Err(GitError::Invalid(format!("{parent}/{shown}: the name is not UTF-8")));
    };
    if matches!(name, "" | "." | "..") || name.contains('/') {
        return Err(GitError::Invalid(format!("{parent}/{name}: this is not a name for a file")));
    }
    if check::is_dot_git(name) {
        let text = format!(
            "{parent}/{name}: some file systems take this name for .git, the folder of git: rename it"
        );
        return Err(GitError::Invalid(text));
    }
    let path = if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") };
    if path.len() > PATH_MAX {
        let start: String = path.chars().take(80).collect();
        return Err(GitError::Invalid(format!("{start}...: the path is longer than {PATH_MAX} bytes")));
    }
    Ok(path)
}

fn size(odb: &git2::Odb<'_>, object: Oid, path: &str) -> Result<u64, GitError> {
    let (size, kind) = odb.read_header(object)?;
    let size = size as u64;
    if kind != ObjectType::Blob {
        return Err(GitError::Invalid(format!("{path}: it is listed as a file and is none")));
    }
    if size > FILE_MAX {
        return Err(GitError::Invalid(format!("{path}: the file is larger than {} MiB", FILE_MAX >> 20)));
    }
    Ok(size)
}

fn link(odb: &git2::Odb<'_>, object: Oid, path: &str) -> Result<String, GitError> {
    let bad = || GitError::Invalid(format!("{path}: the symbolic link's target is not a path"));
    if size(odb, object, path)? > PATH_MAX as u64 {
        return Err(bad());
    }
    let target = String::from_utf8(odb.read(object)?.data().to_vec()).map_err(|_| bad())?;
    if target.is_empty() || target.contains('\0') { Err(bad()) } else { Ok(target) }
}

//! The repositories that are pushed to here: one bare repository per application id, written by one process.
//!
//! Packs are judged and stored by `git receive-pack`, or here when they are small and plainly good
//! ([`Repository::stage`]); refs are read and written with libgit2. Whoever is not told otherwise by a function's
//! description may call it on any thread; those that "block" read or write much, or wait.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use domain::commit::Commit;
use git2::RepositoryInitOptions;
use uuid::Uuid;

use crate::{GitError, pack};

mod child;
mod clean;
mod direct;
mod files;
mod layout;
mod lock;
mod maintain;
mod refs;

pub use child::Asker;
pub use direct::{PACK_MAX, Staged};
pub use refs::{Pin, pin_name};

/// How long a new process waits for the one before it to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long cleaning a repository may keep a push waiting.
const PUSH_PATIENCE: Duration = Duration::from_secs(2);
/// How long a reader waits until packs or leftovers have been removed, which takes milliseconds.
const READ_PATIENCE: Duration = Duration::from_secs(10);
const SUFFIX: &str = ".git";
/// A repository that is not whole yet.
const NEW_SUFFIX: &str = ".new";
const HEAD: &str = "refs/heads/main";

/// The folder of the repositories. Nobody else writes there as long as this lives.
#[derive(Debug)]
pub struct Repositories {
    root: PathBuf,
    /// Held until this is dropped.
    _lock: lock::Alone,
}

/// One of the repositories, which may not exist yet.
#[derive(Clone, Debug)]
pub struct Repository {
    path: PathBuf,
}

/// A repository from which no pack is taken away.
struct Reading {
    repository: git2::Repository,
    _lock: File,
}

impl Deref for Reading {
    type Target = git2::Repository;
    fn deref(&self) -> &git2::Repository {
        &self.repository
    }
}

impl Repositories {
    /// Makes the folder if it is missing. Blocks while a former process still holds it.
    pub fn open(root: &Path) -> Result<Repositories, GitError> {
        Repositories::open_within(root, PATIENCE)
    }

    fn open_within(root: &Path, patience: Duration) -> Result<Repositories, GitError> {
        let opened = fs::create_dir_all(root).and_then(|()| root.canonicalize());
        let opened =
            opened.with_context(|| format!("opening the folder of the repositories {}", root.display()));
        let root = opened.map_err(GitError::Other)?;
        let Some(lock) = lock::alone(&root.join("lock"), patience)? else {
            return Err(GitError::Other(anyhow!(
                "another receiver holds the repositories in {}: stop it, only one may write there",
                root.display()
            )));
        };
        for entry in files::entries(&root)? {
            if entry.file_name().to_string_lossy().ends_with(NEW_SUFFIX) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(Repositories { root, _lock: lock })
    }

    pub fn path(&self, app: Uuid) -> PathBuf {
        self.root.join(format!("{app}{SUFFIX}"))
    }

    /// The applications that have a repository.
    pub fn all(&self) -> Result<Vec<Uuid>, GitError> {
        let names = files::entries(&self.root)?.into_iter().map(|entry| entry.file_name());
        let app = |name: &str| name.strip_suffix(SUFFIX)?.parse().ok();
        Ok(names.filter_map(|name| app(name.to_str()?)).collect())
    }

    pub fn repository(&self, app: Uuid) -> Repository {
        Repository { path: self.path(app) }
    }
}

impl Repository {
    /// Makes the repository if it is missing. It appears as a whole or, after a crash, not at all.
    pub fn ensure(&self) -> Result<(), GitError> {
        if self.path.join("HEAD").try_exists()? {
            return Ok(());
        }
        let mut new = self.path.clone().into_os_string();
        new.push(format!(".{}{NEW_SUFFIX}", Uuid::new_v4()));
        let new = PathBuf::from(new);
        init(&new)?;
        match fs::rename(&new, &self.path) {
            Ok(()) => Ok(self.path.parent().map_or(Ok(()), files::sync)?),
            Err(error) => {
                fs::remove_dir_all(&new)?;
                let made_by_another =
                    matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists)
                        && self.path.join("HEAD").try_exists()?;
                if made_by_another { Ok(()) } else { Err(error.into()) }
            }
        }
    }

    /// What the commit `want` has and the first known one of `have` has not. `None`: there is no such pair, or too much
    /// to send: git is to be asked. Blocks.
    pub fn missing(&self, want: &Commit, have: &[Commit]) -> Result<Option<Vec<u8>>, GitError> {
        let id = |commit: &Commit| git2::Oid::from_str(commit.as_str());
        let have = have.iter().map(id).collect::<Result<Vec<_>, _>>()?;
        pack::make(&self.read()?.repository, id(want)?, &have)
    }

    /// How much its files hold. Blocks.
    pub fn size_bytes(&self) -> Result<u64, GitError> {
        let mut sum = 0;
        files::walk(&self.path, &mut |_, metadata| {
            sum += if metadata.is_file() { metadata.len() } else { 0 };
            Ok(())
        })?;
        Ok(sum)
    }

    /// libgit2, unlike git, does not look for what it misses in the packs that came instead.
    fn read(&self) -> Result<Reading, GitError> {
        let Some(lock) = self.share(READ_PATIENCE)? else {
            return Err(GitError::Other(anyhow!("{} is being cleaned for long", self.path.display())));
        };
        Ok(Reading { repository: self.open()?, _lock: lock })
    }

    /// Nothing is taken away from the repository as long as the file is open. `None`: it is being cleaned. Blocks.
    fn share(&self, patience: Duration) -> Result<Option<File>, GitError> {
        Ok(lock::shared(&self.lock_file(), patience)?)
    }

    fn open(&self) -> Result<git2::Repository, GitError> {
        Ok(git2::Repository::open_bare(&self.path)?)
    }

    fn lock_file(&self) -> PathBuf {
        self.path.join(lock::NAME)
    }
}

fn init(path: &Path) -> Result<(), GitError> {
    let mut options = RepositoryInitOptions::new();
    options.bare(true).no_reinit(true).external_template(false).initial_head(HEAD);
    git2::Repository::init_opts(path, &options)?;
    layout::establish(path)?;
    lock::open(&path.join(lock::NAME))?;
    files::walk(path, &mut |path, _| files::sync(path))
}

#[cfg(test)]
mod tests;

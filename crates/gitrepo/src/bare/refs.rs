//! The refs of a repository: pins, branches as git clients see them, tags.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use domain::commit::Commit;
use git2::{ErrorCode, Oid, Reference};
use uuid::Uuid;

use super::{HEAD, Repository};
use crate::GitError;

const PINS: &str = "refs/pushes";
const HEADS: &str = "refs/heads/";
const TAGS: &str = "refs/tags/";
/// So much of a history that is cut off is looked at.
const COMMITS_MAX: usize = 10_000;

/// The hidden ref that exists if and only if git took the push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    pub push: Uuid,
    pub branch: String,
    /// What was pushed. Git lets a pin point to any object: [`Repository::has`] says whether it is a commit.
    pub commit: Commit,
}

pub fn pin_name(push: Uuid, branch: &str) -> String {
    format!("{PINS}/{push}/heads/{branch}")
}

impl Repository {
    /// All pins, in the order of their pushes' ids. Blocks.
    pub fn pins(&self) -> Result<Vec<Pin>, GitError> {
        let repository = self.read()?;
        Ok(named(&repository, &format!("{PINS}/"))?
            .into_iter()
            .filter_map(|(name, commit)| {
                let pin = pin(&name, commit);
                if pin.is_none() {
                    tracing::warn!(repository = %self.path.display(), name, "this is not the name of a pin");
                }
                pin
            })
            .collect())
    }

    /// Deletes pins; those that are gone already are none of its business. Blocks.
    pub fn delete_pins(&self, pins: &[Pin]) -> Result<(), GitError> {
        let repository = self.read()?;
        for pin in pins {
            let name = pin_name(pin.push, &pin.branch);
            delete(&repository, &name)?;
            // The folders of a pin are its own: no other push ever writes there.
            let of_push = self.path.join(PINS).join(pin.push.to_string());
            remove_empty(&of_push, self.path.join(&name).parent())?;
        }
        Ok(())
    }

    /// Makes `refs/heads/*` exactly these branches, and says whether anything had to be written. A commit that the
    /// repository does not have cannot be shown to anybody: its branch is left out, with a warning. Blocks.
    pub fn project(&self, heads: &[(String, Option<Commit>)]) -> Result<bool, GitError> {
        let repository = self.read()?;
        let wanted = self.wanted(&repository, heads);
        let present = named(&repository, HEADS)?;
        let mut wrote = false;
        // First, since a branch `a` leaves no room for `a/b`.
        for (name, _) in present.iter().filter(|(name, _)| !wanted.contains_key(name)) {
            delete(&repository, name)?;
            wrote = true;
        }
        let present: BTreeMap<String, Commit> = present.into_iter().collect();
        for (name, (id, commit)) in &wanted {
            if present.get(name) != Some(commit) {
                if !present.contains_key(name) {
                    // What a power failure left of it would not be written over.
                    remove_file(&self.path.join(name))?;
                }
                repository.reference(name, *id, true, "projected")?;
                wrote = true;
            }
        }
        // Who clones gets a branch that is there.
        let shown = [HEAD, "refs/heads/master"].into_iter().find(|it| wanted.contains_key(*it));
        let shown = shown.or_else(|| wanted.keys().next().map(String::as_str)).unwrap_or(HEAD);
        if repository.find_reference("HEAD")?.symbolic_target().ok().flatten() != Some(shown) {
            repository.set_head(shown)?;
            wrote = true;
        }
        Ok(wrote)
    }

    fn wanted(
        &self,
        repository: &git2::Repository,
        heads: &[(String, Option<Commit>)],
    ) -> BTreeMap<String, (Oid, Commit)> {
        let mut wanted: BTreeMap<String, (Oid, Commit)> = BTreeMap::new();
        for (branch, commit) in heads {
            let Some(commit) = commit else { continue };
            let name = format!("{HEADS}{branch}");
            let why_not = if !git2::Reference::is_valid_name(&name) {
                "git allows no such name"
            } else if wanted.keys().any(|it| is_below(it, &name) || is_below(&name, it)) {
                "another branch's name is the start of its name"
            } else if let Some(id) = find(repository, commit) {
                wanted.insert(name, (id, commit.clone()));
                continue;
            } else {
                "its commit is not in the repository"
            };
            tracing::warn!(repository = %self.path.display(), branch, %commit, "a branch is not shown: {why_not}");
        }
        wanted
    }

    /// The tags' full names, and what they point to: a commit, or an object that says more about it. Blocks.
    pub fn tags(&self) -> Result<Vec<(String, Commit)>, GitError> {
        match self.read() {
            Ok(repository) => named(&repository, TAGS),
            // Nobody has pushed yet.
            Err(_) if !self.path.try_exists()? => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Whether `ancestor` is `descendant` or in its history. `false` too when the repository does not know one of them,
    /// or not what is between them. Blocks.
    pub fn contains(&self, ancestor: &Commit, descendant: &Commit) -> bool {
        let Ok(repository) = self.read() else { return false };
        let (Some(ancestor), Some(descendant)) = (find(&repository, ancestor), find(&repository, descendant))
        else {
            return false;
        };
        // libgit2 gives up where a history is cut off.
        let known = repository.graph_descendant_of(descendant, ancestor);
        ancestor == descendant || known.unwrap_or_else(|_| is_reached(&repository, ancestor, descendant))
    }

    /// Whether the repository has this commit, and it is one. Blocks.
    pub fn has(&self, commit: &Commit) -> bool {
        self.read().is_ok_and(|repository| find(&repository, commit).is_some())
    }
}

fn find(repository: &git2::Repository, commit: &Commit) -> Option<Oid> {
    let id = Oid::from_str(commit.as_str()).ok()?;
    repository.find_commit(id).ok().map(|it| it.id())
}

/// Whether a way leads to `ancestor` through the commits that are there, of which those behind a cut are few.
fn is_reached(repository: &git2::Repository, ancestor: Oid, descendant: Oid) -> bool {
    let (mut seen, mut next) = (HashSet::from([descendant]), vec![descendant]);
    while let Some(id) = next.pop().filter(|_| seen.len() < COMMITS_MAX) {
        if id == ancestor {
            return true;
        }
        if let Ok(commit) = repository.find_commit(id) {
            next.extend(commit.parent_ids().filter(|parent| seen.insert(*parent)));
        }
    }
    false
}

/// The refs below `prefix`, sorted.
fn named(repository: &git2::Repository, prefix: &str) -> Result<Vec<(String, Commit)>, GitError> {
    let mut found = Vec::new();
    for reference in repository.references_glob(&format!("{prefix}*"))? {
        found.extend(direct(&reference?));
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(found)
}

/// Nothing that is written here points to another ref.
fn direct(reference: &Reference<'_>) -> Option<(String, Commit)> {
    let name = reference.name().ok()?.to_owned();
    Some((name, Commit::parse(&reference.target()?.to_string()).ok()?))
}

fn pin(name: &str, commit: Commit) -> Option<Pin> {
    let (push, rest) = name.strip_prefix(PINS)?.strip_prefix('/')?.split_once('/')?;
    let branch = rest.strip_prefix("heads/")?.to_owned();
    Some(Pin { push: push.parse().ok()?, branch, commit })
}

fn delete(repository: &git2::Repository, name: &str) -> Result<(), GitError> {
    let deleted = repository.find_reference(name).and_then(|mut it| it.delete());
    match deleted {
        Err(error) if error.code() != ErrorCode::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn is_below(name: &str, folder: &str) -> bool {
    name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// Of a file that is there.
fn remove_file(path: &Path) -> Result<(), GitError> {
    match fs::remove_file(path) {
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) => {
            Err(error.into())
        }
        _ => Ok(()),
    }
}

/// Removes folders that are empty, from `from` up to `until`.
fn remove_empty(until: &Path, from: Option<&Path>) -> Result<(), GitError> {
    let mut at = from;
    while let Some(folder) = at.filter(|it| it.starts_with(until)) {
        match fs::remove_dir(folder) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => break,
            Err(error) => return Err(error.into()),
        }
        at = folder.parent();
    }
    Ok(())
}

//! .dockerignore: which entries of a repository belong to the build context. The semantics are those of BuildKit's
//! own walk (moby's patternmatcher under fsutil's filter), because BuildKit filters nothing that we send it.

use crate::glob::{self, Glob};
use crate::tree::{self, Entry, Kind};

/// The patterns of one file, in their order: the last that matches decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    /// Written with `!`: takes back what an earlier pattern left out.
    keep: bool,
    glob: Glob,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadPattern {
    pub(crate) line: usize,
    pub(crate) pattern: String,
}

pub(crate) fn parse(bytes: &[u8]) -> Result<Matcher, BadPattern> {
    let text = String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
    let mut patterns = Vec::new();
    for (index, line) in text.lines().enumerate() {
        // Only a # in the first column starts a comment.
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        let line = line.trim();
        let (keep, pattern) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest.trim()));
        let nothing_to_keep = keep && pattern.trim_matches('/').is_empty();
        let glob = if nothing_to_keep { None } else { glob::compile(&tree::clean(pattern)) };
        let glob =
            glob.ok_or_else(|| BadPattern { line: index + 1, pattern: line.chars().take(80).collect() })?;
        patterns.push(Pattern { keep, glob });
    }
    Ok(Matcher { patterns })
}

impl Matcher {
    /// How many patterns there are.
    pub fn len(&self) -> usize {
        self.patterns.len()
    }

    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// For each of the entries of a [`crate::tree::Tree`], whether it belongs to the context. A directory that is
    /// left out itself belongs to it when something inside does.
    pub fn kept(&self, entries: &[Entry]) -> Vec<bool> {
        let mut kept = vec![false; entries.len()];
        let mut parents: Vec<Parent<'_>> = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            while parents.pop_if(|it| !is_inside(&entry.path, it.path)).is_some() {}
            let (ignored, matched) =
                self.ignores(&entry.path, parents.last().map(|it| it.matched.as_slice()));
            if !ignored {
                kept[index] = true;
                for parent in &parents {
                    kept[parent.index] = true;
                }
            }
            if entry.kind == Kind::Directory {
                parents.push(Parent { path: &entry.path, index, matched });
            }
        }
        kept
    }

    /// Whether `path` is left out, and which patterns matched it or a directory above it. A pattern that could not
    /// have changed anything when the directory was looked at is not held against what is inside: `a/b` then `!a`
    /// leaves `a/b` out.
    fn ignores(&self, path: &str, parent: Option<&[bool]>) -> (bool, Vec<bool>) {
        let mut ignored = false;
        let mut matched = vec![false; self.patterns.len()];
        for (index, pattern) in self.patterns.iter().enumerate() {
            let from_parent = parent.is_some_and(|parent| parent[index]);
            matched[index] = from_parent || (pattern.keep == ignored && glob::matches(&pattern.glob, path));
            if matched[index] {
                ignored = !pattern.keep;
            }
        }
        (ignored, matched)
    }
}

struct Parent<'e> {
    path: &'e str,
    index: usize,
    matched: Vec<bool>,
}

fn is_inside(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests;

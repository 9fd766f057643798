//! A commit's files as BuildKit asks for them: those the plan does not leave out, whole or in parts, read from git objects.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use buildkit::source::{EntryKind, Source, SourceEntry};
use gitrepo::Snapshot;
use plan::dockerignore::Matcher;
use plan::tree::{Entry, Kind};
use sha2::{Digest, Sha256};

use crate::times::Times;

/// Of directories, which have no content of their own: 2001-09-09, so that no tool takes it for unset.
const TIME: i64 = 1_000_000_000_000_000_000;

/// The files that a build may read.
#[derive(Debug)]
pub(crate) struct Context {
    snapshot: Arc<Snapshot>,
    /// As the build sees them: their paths begin at the context's folder.
    entries: Vec<Entry>,
    /// Their places in the snapshot's tree.
    places: Vec<usize>,
    /// When each was changed, in nanoseconds.
    times: Vec<i64>,
    broken: Arc<AtomicBool>,
    /// Bytes that BuildKit asked for.
    sent: Arc<AtomicU64>,
}

impl Context {
    /// What `folder` holds, all of the commit when that is empty.
    pub(crate) fn new(snapshot: Snapshot, folder: &str, ignore: &Matcher) -> Context {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let all = snapshot.tree().entries().iter().enumerate();
        let (places, inside): (Vec<usize>, Vec<Entry>) = all
            .filter_map(|(place, entry)| {
                let path = entry.path.strip_prefix(&prefix)?.to_owned();
                Some((place, Entry { path, ..entry.clone() }))
            })
            .unzip();
        let kept = ignore.kept(&inside);
        let (entries, places) =
            inside.into_iter().zip(places).zip(kept).filter(|(_, kept)| *kept).map(|(it, _)| it).unzip();
        let times = vec![TIME; Vec::len(&places)];
        Context {
            snapshot: Arc::new(snapshot),
            entries,
            places,
            times,
            broken: Arc::default(),
            sent: Arc::default(),
        }
    }

    /// Gives each file the time since when it is as it is. Says whether there is anything new in `times`.
    pub(crate) fn date(&mut self, times: &mut Times, now_ns: i64) -> bool {
        let is_dated = |entry: &Entry| !matches!(entry.kind, Kind::Directory | Kind::Submodule);
        let all = self.entries.iter().zip(&self.places).filter(|(entry, _)| is_dated(entry));
        let files = all.map(|(entry, place)| (entry.path.as_str(), self.snapshot.object(*place)));
        let (dated, changed) = times.assign(files, now_ns);
        let mut dated = dated.into_iter();
        for (entry, time) in self.entries.iter().zip(&mut self.times) {
            if is_dated(entry) {
                *time = dated.next().unwrap_or(TIME);
            }
        }
        changed
    }

    pub(crate) fn entries(&self) -> Vec<&Entry> {
        self.entries.iter().collect()
    }

    /// All of them, or those at some places of [`Context::entries`].
    pub(crate) fn files(&self, places: Option<&[usize]>) -> Files {
        let all: Vec<usize> = (0..self.places.len()).collect();
        // The tree's order is the one BuildKit wants.
        let (entries, places) = places
            .unwrap_or(&all)
            .iter()
            .map(|at| (entry(&self.entries[*at], self.times[*at]), self.places[*at]))
            .unzip();
        let (broken, sent) = (self.broken.clone(), self.sent.clone());
        Files { snapshot: self.snapshot.clone(), entries, places, broken, sent }
    }

    /// How many bytes BuildKit asked for until now.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Whether an object could not be read: the mirror is damaged.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
pub(crate) struct Files {
    snapshot: Arc<Snapshot>,
    entries: Vec<SourceEntry>,
    /// The place of each of `entries` in the snapshot's tree.
    places: Vec<usize>,
    broken: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
}

impl Files {
    /// A hash of all that BuildKit gets of them.
    pub(crate) fn content_id(&self) -> String {
        let mut hash = Sha256::new();
        for (entry, place) in self.entries.iter().zip(&self.places) {
            let kind: &[u8] = match entry.kind {
                EntryKind::File => b"f",
                EntryKind::Executable => b"x",
                EntryKind::Symlink => b"l",
                EntryKind::Directory => b"d",
            };
            hash.update(kind);
            hash.update((entry.path.len() as u64).to_be_bytes());
            hash.update(&entry.path);
            // A directory's own object names also what the build does not get.
            if entry.kind != EntryKind::Directory {
                hash.update(self.snapshot.object(*place));
            }
        }
        hex::encode(hash.finalize())
    }
}

fn entry(entry: &Entry, mtime_ns: i64) -> SourceEntry {
    let kind = match entry.kind {
        Kind::File => EntryKind::File,
        Kind::Executable => EntryKind::Executable,
        Kind::Symlink => EntryKind::Symlink,
        Kind::Directory | Kind::Submodule => EntryKind::Directory,
    };
    SourceEntry { path: entry.path.clone(), kind, size: entry.size, linkname: entry.link.clone(), mtime_ns }
}

impl Source for Files {
    fn entries(&self) -> &[SourceEntry] {
        &self.entries
    }

    fn open(&self, index: usize) -> anyhow::Result<Vec<u8>> {
        let place = self.places.get(index).copied().unwrap_or(usize::MAX);
        let content = self.snapshot.content(place);
        let content = content.inspect(|bytes| {
            self.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        });
        content.inspect_err(|error| {
            tracing::error!(index, "reading an object of a commit: {error:#}");
            self.broken.store(true, Ordering::Relaxed);
        })
    }
}

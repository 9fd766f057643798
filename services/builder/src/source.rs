//! A commit's files as BuildKit asks for them: those the plan does not leave out, read from git objects.

use std::sync::atomic::{AtomicBool, Ordering};

use buildkit::source::{EntryKind, Source, SourceEntry};
use gitrepo::Snapshot;
use plan::dockerignore::Matcher;
use plan::tree::{Entry, Kind};

#[derive(Debug)]
pub(crate) struct CommitSource {
    snapshot: Snapshot,
    entries: Vec<SourceEntry>,
    /// The place of each of `entries` in the snapshot's tree.
    places: Vec<usize>,
    broken: AtomicBool,
}

impl CommitSource {
    pub(crate) fn new(snapshot: Snapshot, ignore: &Matcher) -> CommitSource {
        let all = snapshot.tree().entries();
        let kept = ignore.kept(all);
        let places: Vec<usize> = (0..all.len()).filter(|place| kept[*place]).collect();
        // The tree's order is the one BuildKit wants.
        let entries = places.iter().map(|place| entry(&all[*place], snapshot.mtime_ns(*place))).collect();
        CommitSource { snapshot, entries, places, broken: AtomicBool::new(false) }
    }

    /// Whether an object could not be read: the mirror is damaged.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
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

impl Source for CommitSource {
    fn entries(&self) -> &[SourceEntry] {
        &self.entries
    }

    fn open(&self, index: usize) -> anyhow::Result<Vec<u8>> {
        let place = self.places.get(index).copied().unwrap_or(usize::MAX);
        self.snapshot.content(place).inspect_err(|error| {
            tracing::error!(index, "reading an object of a commit: {error:#}");
            self.broken.store(true, Ordering::Relaxed);
        })
    }
}

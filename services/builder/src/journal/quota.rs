//! What of a log that is too long is left out: its middle. The last lines say why a build failed, so they are kept back
//! until the builder has something to say itself, and what is left out is counted and said. Pure.

use std::collections::VecDeque;

use buildkit::progress::Line;
use store::log::Dropped;

/// Lines that are kept back, in bytes; the last one may be longer.
const KEPT_MAX: usize = 256 << 10;
/// It is said how much is left out by now when it is this much, and whenever it has doubled.
const TOLD_FIRST: i64 = 1 << 20;

#[derive(Debug)]
pub(super) struct Quota {
    limit: u64,
    /// Of the whole build.
    logged: u64,
    dropped: Dropped,
    /// What of it was not taken yet.
    untaken: Dropped,
    told_next: i64,
    /// What was dropped when the lines that are kept were last written.
    released_at: Dropped,
    kept: VecDeque<Line>,
    kept_bytes: usize,
    is_full: bool,
}

/// What becomes of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Written(Line),
    /// It is kept back, or in the place of an older one; and what is to be said.
    Kept(Option<String>),
}

impl Quota {
    /// `logged` bytes of the build are in the log, of earlier attempts.
    pub(super) fn new(limit: u64, logged: u64) -> Quota {
        Quota {
            limit,
            logged,
            dropped: Dropped::default(),
            untaken: Dropped::default(),
            told_next: TOLD_FIRST,
            released_at: Dropped::default(),
            kept: VecDeque::new(),
            kept_bytes: 0,
            is_full: false,
        }
    }

    pub(super) fn judge(&mut self, line: Line) -> Fate {
        let bytes = line.bytes.len() + 1;
        if !self.is_full && self.logged + bytes as u64 <= self.limit {
            self.logged += bytes as u64;
            return Fate::Written(line);
        }
        self.kept_bytes += bytes;
        self.kept.push_back(line);
        while self.kept_bytes > KEPT_MAX && self.kept.len() > 1 {
            if let Some(oldest) = self.kept.pop_front() {
                self.drop(oldest.bytes.len() + 1);
            }
        }
        Fate::Kept(self.news())
    }

    fn drop(&mut self, bytes: usize) {
        self.kept_bytes -= bytes;
        for count in [&mut self.dropped, &mut self.untaken] {
            count.lines += 1;
            count.bytes += i64::try_from(bytes).unwrap_or(i64::MAX);
        }
    }

    fn news(&mut self) -> Option<String> {
        if !std::mem::replace(&mut self.is_full, true) {
            let limit = size(self.limit);
            return Some(format!(
                "the log is longer than {limit}: what follows is left out, but for its end"
            ));
        }
        if self.dropped.bytes < self.told_next {
            return None;
        }
        while self.told_next <= self.dropped.bytes {
            self.told_next *= 2;
        }
        Some(format!("{} left out so far", amount(self.dropped)))
    }

    /// The lines that were kept back, and what is to be said before them.
    pub(super) fn release(&mut self) -> (Option<String>, VecDeque<Line>) {
        let Dropped { lines, bytes } = self.released_at;
        let here = Dropped { lines: self.dropped.lines - lines, bytes: self.dropped.bytes - bytes };
        self.released_at = self.dropped;
        self.kept_bytes = 0;
        let kept = std::mem::take(&mut self.kept);
        if here == Dropped::default() {
            return (None, kept);
        }
        let all =
            if here == self.dropped { String::new() } else { format!(", {} in all", amount(self.dropped)) };
        (Some(format!("{} left out here{all}; the last {} lines follow", amount(here), kept.len())), kept)
    }

    /// What was dropped since this was last asked.
    pub(super) fn take_dropped(&mut self) -> Dropped {
        std::mem::take(&mut self.untaken)
    }
}

fn amount(dropped: Dropped) -> String {
    format!("{} lines ({})", dropped.lines, size(u64::try_from(dropped.bytes).unwrap_or(0)))
}

/// `812 bytes`, `1.5 MiB`.
fn size(bytes: u64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, one)| bytes >= *one) {
        Some((name, one)) => format!("{}.{} {name}", bytes / one, bytes % one * 10 / one),
        None => format!("{bytes} bytes"),
    }
}

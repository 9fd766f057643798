//! What a soak has done so far; all its tasks count here.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

const KIND_MAX: usize = 120;

#[derive(Debug, Default)]
pub struct Counts {
    pub kills: Counter,
    /// Receivers that ended although nobody killed them, for want of a disk say.
    pub ended_by_themselves: Counter,
    pub faults: Counter,
    /// Pushes that git had taken while the database was away.
    pub caught_between: Counter,
    pub attempts: Counter,
    pub acknowledged: Counter,
    pub refusals: Refusals,
}

#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What pushes were told that had to be tried again, and how often.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<BTreeMap<String, u64>>);

impl Refusals {
    pub fn add(&self, text: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *all.entry(kind(text)).or_default() += 1;
    }

    /// Most frequent first.
    pub fn all(&self) -> Vec<(String, u64)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<(String, u64)> = all.iter().map(|(kind, count)| (kind.clone(), *count)).collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        all
    }
}

/// Texts that differ only in their numbers are of one kind.
fn kind(text: &str) -> String {
    let said = |line: &&str| line.starts_with("fatal: ") || line.starts_with("error: ");
    let line = text.lines().find(said).or_else(|| text.lines().next()).unwrap_or_default();
    let is_number = |word: &&str| word.chars().any(|c| c.is_ascii_digit());
    let words = line.split_whitespace().map(|word| if is_number(&word) { "#" } else { word });
    words.collect::<Vec<_>>().join(" ").chars().take(KIND_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_a_kind_are_counted_together() {
        let refusals = Refusals::default();
        for text in [
            "build #4 of 1a2b is still running",
            "build #17 of 77cc is still running",
            "cut\nfatal: 1 is gone",
        ] {
            refusals.add(text);
        }
        let counted = [("build # of # is still running".to_owned(), 2), ("fatal: # is gone".to_owned(), 1)];
        assert_eq!(refusals.all(), counted);
    }
}

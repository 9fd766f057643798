//! When each file of an application is said to have been changed. Git keeps no such time, and two readers need one:
//!
//! - BuildKit takes a file whose size and time it has seen for the file that it has, so new content needs a new time;
//! - make, cargo and their kin, over a cache mount, take a file that is older than what they made of it for unchanged, so
//!   new content needs a time that is later, and old content the one it had.
//!
//! The times are kept beside the mirror. When they are lost all files look new, once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The last bits come from the content: two builders that lost the times in the same instant still tell contents apart.
const CONTENT_BITS: i64 = (1 << 20) - 1;
const OBJECT: usize = 20;

/// By path, what a file held when it was seen last, and since when.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Times(HashMap<String, ([u8; OBJECT], i64)>);

impl Times {
    /// The time of each of `files`, paths with their objects' ids; `now_ns` for those that were not seen like this. Files
    /// that are not among them are forgotten. Also says whether anything changed.
    pub(crate) fn assign<'f>(
        &mut self,
        files: impl Iterator<Item = (&'f str, &'f [u8])>,
        now_ns: i64,
    ) -> (Vec<i64>, bool) {
        let mut before = std::mem::take(&mut self.0);
        let mut changed = false;
        let times = files
            .map(|(path, id)| {
                let mut object = [0; OBJECT];
                object.copy_from_slice(&id[..OBJECT]);
                let time = match before.remove(path) {
                    Some((held, time)) if held == object => time,
                    _ => {
                        changed = true;
                        let bits = object.iter().take(4).fold(0, |sum, byte| sum << 8 | i64::from(*byte));
                        (now_ns & !CONTENT_BITS) | (bits & CONTENT_BITS)
                    }
                };
                self.0.insert(path.to_owned(), (object, time));
                time
            })
            .collect();
        (times, changed || !before.is_empty())
    }
}

fn file(mirror: &Path) -> PathBuf {
    mirror.with_extension("times")
}

/// What was kept; nothing when it was lost or is damaged.
pub(crate) fn load(mirror: &Path) -> Times {
    let bytes = std::fs::read(file(mirror)).unwrap_or_default();
    let mut times = HashMap::new();
    let mut rest = bytes.as_slice();
    while let Some((object, after)) = rest.split_first_chunk::<OBJECT>() {
        let Some((time, after)) = after.split_first_chunk::<8>() else { break };
        let Some((length, after)) = after.split_first_chunk::<4>() else { break };
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let Some((path, after)) = after.split_at_checked(length) else { break };
        if let Ok(path) = std::str::from_utf8(path) {
            times.insert(path.to_owned(), (*object, i64::from_le_bytes(*time)));
        }
        rest = after;
    }
    Times(times)
}

/// In one piece or not at all.
pub(crate) fn save(mirror: &Path, times: &Times) {
    let mut bytes = Vec::with_capacity(times.0.len() * 80);
    for (path, (object, time)) in &times.0 {
        bytes.extend_from_slice(object);
        bytes.extend_from_slice(&time.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(path.len()).unwrap_or_default().to_le_bytes());
        bytes.extend_from_slice(path.as_bytes());
    }
    let new = mirror.with_extension("times.new");
    let written = std::fs::write(&new, bytes).and_then(|()| std::fs::rename(&new, file(mirror)));
    if let Err(error) = written {
        tracing::warn!(mirror = %mirror.display(), "keeping the times of files: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000_000;

    fn assign(times: &mut Times, files: &[(&str, u8)], now: i64) -> (Vec<i64>, bool) {
        let objects: Vec<[u8; OBJECT]> = files.iter().map(|(_, id)| [*id; OBJECT]).collect();
        times.assign(files.iter().map(|(path, _)| *path).zip(objects.iter().map(|it| it.as_slice())), now)
    }

    #[test]
    fn a_time_changes_with_the_content_and_never_goes_back() {
        let mut times = Times::default();
        let (first, changed) = assign(&mut times, &[("a", 1), ("b", 1)], HOUR);
        assert!(changed);
        let (second, changed) = assign(&mut times, &[("a", 1), ("b", 2)], 2 * HOUR);
        assert!(changed && second[0] == first[0] && second[1] > first[1] + HOUR / 2, "{first:?} {second:?}");
        let (third, _) = assign(&mut times, &[("a", 1), ("b", 1)], 3 * HOUR);
        assert!(third[1] > second[1], "what was there before is new again");
        assert_eq!(assign(&mut times, &[("a", 1), ("b", 1)], 4 * HOUR), (third, false));
        assert!(assign(&mut times, &[("a", 1)], 5 * HOUR).1, "one is gone");
    }

    #[test]
    fn contents_differ_even_in_the_same_instant() {
        let one = assign(&mut Times::default(), &[("a", 1)], HOUR).0;
        assert_ne!(one, assign(&mut Times::default(), &[("a", 2)], HOUR).0);
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let mirror = folder.path().join("app.git");
        assert_eq!(load(&mirror), Times::default());
        let mut times = Times::default();
        assign(&mut times, &[("a\nb", 1), ("dir/ä", 2)], HOUR);
        save(&mirror, &times);
        assert_eq!(load(&mirror), times);
        std::fs::write(file(&mirror), b"damaged").unwrap();
        assert_eq!(load(&mirror), Times::default());
    }
}

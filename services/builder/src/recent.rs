//! In which order the parts of a context are copied: what changed last comes last, because a change costs its part and
//! those after it. The order is kept beside the mirror; without it every part is copied once more.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Parts by name, each with what it held, the last changed at the end.
pub(crate) type Recent = Vec<(String, String)>;

/// The order of these parts, as their places in `parts`, and what to keep for the next build.
pub(crate) fn order(before: &Recent, parts: &[(String, String)]) -> (Vec<usize>, Recent) {
    let then: HashMap<&str, (usize, &str)> =
        before.iter().enumerate().map(|(place, (name, id))| (name.as_str(), (place, id.as_str()))).collect();
    let mut order: Vec<usize> = (0..parts.len()).collect();
    // The sort is stable: those that changed keep the order in which they were cut.
    order.sort_by_key(|part| {
        let (name, id) = &parts[*part];
        then.get(name.as_str()).filter(|(_, then)| then == id).map_or(usize::MAX, |(place, _)| *place)
    });
    let recent = order.iter().map(|part| parts[*part].clone()).collect();
    (order, recent)
}

fn file(mirror: &Path) -> PathBuf {
    mirror.with_extension("parts")
}

/// What was kept; nothing when it was lost.
pub(crate) fn load(mirror: &Path) -> Recent {
    let kept = std::fs::read_to_string(file(mirror)).unwrap_or_default();
    kept.lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(id, name)| (name.to_owned(), id.to_owned()))
        .collect()
}

/// Losing it costs time and nothing else.
pub(crate) fn save(mirror: &Path, recent: &Recent) {
    let lines: String =
        recent.iter().map(|(name, id)| format!("{id} {}\n", name.replace('\n', " "))).collect();
    if let Err(error) = std::fs::write(file(mirror), lines) {
        tracing::warn!(mirror = %mirror.display(), "keeping the order of parts: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(all: &[(&str, &str)]) -> Recent {
        all.iter().map(|(name, id)| ((*name).to_owned(), (*id).to_owned())).collect()
    }

    #[test]
    fn what_changed_last_comes_last() {
        let (order_1, recent) = order(&Vec::new(), &parts(&[("a", "1"), ("b", "1"), ("c", "1")]));
        assert_eq!(order_1, [0, 1, 2]);
        let (order_2, recent) = order(&recent, &parts(&[("a", "2"), ("b", "1"), ("c", "1")]));
        assert_eq!(order_2, [1, 2, 0]);
        let (order_3, recent) = order(&recent, &parts(&[("a", "3"), ("b", "1"), ("c", "1")]));
        assert_eq!(order_3, [1, 2, 0], "the same part again costs nothing but itself");
        let (order_4, _) = order(&recent, &parts(&[("a", "3"), ("c", "1"), ("d", "1")]));
        assert_eq!(order_4, [1, 0, 2], "b is gone and d is new");
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let mirror = folder.path().join("app.git");
        assert_eq!(load(&mirror), Recent::new());
        let recent = parts(&[("files at the top", "1"), ("src/a", "2")]);
        save(&mirror, &recent);
        assert_eq!(load(&mirror), recent);
    }
}

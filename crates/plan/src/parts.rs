//! Cuts a large build context into parts. Each is sent, kept and copied on its own, so that a change costs the part it is
//! in and not the whole.

use std::collections::BTreeMap;

use crate::tree::{Entry, Kind};

/// A context with fewer entries is quicker as a whole.
const WORTHWHILE: usize = 1_000;
/// Each part is a layer of the image at least once, and a node can stack some hundred.
const PARTS_MAX: usize = 12;
/// A directory with more than this share of all entries is taken apart.
const SHARE_MAX: usize = 8;

/// Some entries of a context, with the directories they are in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is of, for people, and the same for as long as the repository looks alike.
    pub name: String,
    /// The places of its entries in the list that was cut, ascending.
    pub places: Vec<usize>,
}

impl Part {
    fn new(name: &str) -> Part {
        Part { name: name.to_owned(), places: Vec::new() }
    }
}

/// The parts of a context, none when it is not worth cutting. `entries` come in the order of a
/// [`crate::tree::Tree`]. Every entry that is no directory is in exactly one part.
pub fn split(entries: &[&Entry]) -> Vec<Part> {
    if entries.len() < WORTHWHILE {
        return Vec::new();
    }
    let groups = groups(entries);
    let own = entries.len() / PARTS_MAX;
    let large = groups.values().filter(|count| **count >= own).count();
    let shared = PARTS_MAX.saturating_sub(large).max(1);
    let mut parts: BTreeMap<String, Part> = BTreeMap::new();
    for (place, entry) in entries.iter().enumerate().filter(|(_, it)| it.kind != Kind::Directory) {
        let group = group_of(&entry.path, &groups);
        let is_large = groups.get(group).is_some_and(|count| *count >= own);
        let name = if is_large { named(group) } else { format!("shared {}", bin(group, shared)) };
        parts.entry(name.clone()).or_insert_with(|| Part::new(&name)).places.push(place);
    }
    let mut parts: Vec<Part> = parts.into_values().collect();
    with_directories(entries, &mut parts);
    parts
}

/// What is cut no further: directories by path (the empty one: files at the top; `a/.`: files directly in `a`), with
/// the number of entries in them.
fn groups(entries: &[&Entry]) -> BTreeMap<String, usize> {
    let files = || entries.iter().filter(|it| it.kind != Kind::Directory).map(|it| it.path.as_str());
    let mut groups = BTreeMap::new();
    for path in files() {
        *groups.entry(top(path).to_owned()).or_insert(0) += 1;
    }
    loop {
        let too_large = entries.len() / SHARE_MAX;
        let largest = groups
            .iter()
            .filter(|(name, count)| **count > too_large && !is_flat(name))
            .max_by_key(|(_, count)| **count);
        let Some((name, _)) = largest.map(|(name, count)| (name.clone(), *count)) else { return groups };
        groups.remove(&name);
        let inside = format!("{name}/");
        for rest in files().filter_map(|path| path.strip_prefix(&inside)) {
            let child = rest
                .split_once('/')
                .map_or_else(|| format!("{name}/."), |(child, _)| format!("{name}/{child}"));
            *groups.entry(child).or_insert(0) += 1;
        }
    }
}

/// Files of one directory, which has no further directories to cut it by.
fn is_flat(group: &str) -> bool {
    group.is_empty() || group.ends_with("/.")
}

fn top(path: &str) -> &str {
    path.split_once('/').map_or("", |(top, _)| top)
}

fn group_of<'g>(path: &str, groups: &'g BTreeMap<String, usize>) -> &'g str {
    let mut directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    if let Some((flat, _)) = groups.get_key_value(&format!("{directory}/.")) {
        return flat;
    }
    loop {
        if let Some((group, _)) = groups.get_key_value(directory) {
            return group;
        }
        directory = directory.rsplit_once('/').map_or("", |(parent, _)| parent);
    }
}

fn named(group: &str) -> String {
    match group.strip_suffix("/.") {
        Some(directory) => format!("files in {directory}"),
        None if group.is_empty() => "files at the top".to_owned(),
        None => group.to_owned(),
    }
}

/// By name alone, so that a new directory moves no other one to another part (FNV-1a).
fn bin(group: &str, bins: usize) -> usize {
    let hash = group.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    usize::try_from(hash % bins as u64).unwrap_or_default()
}

/// Adds to each part the directories above its entries; one with nothing in it goes to the first part.
fn with_directories(entries: &[&Entry], parts: &mut [Part]) {
    let mut used = vec![false; entries.len()];
    for part in &mut *parts {
        let mut needed = std::collections::BTreeSet::new();
        for place in &part.places {
            let mut path = entries[*place].path.as_str();
            while let Some((parent, _)) = path.rsplit_once('/') {
                let Ok(at) = entries.binary_search_by(|it| crate::tree::order(&it.path, parent)) else {
                    break;
                };
                if !needed.insert(at) {
                    break;
                }
                used[at] = true;
                path = parent;
            }
        }
        part.places.extend(needed);
        part.places.sort_unstable();
    }
    let empty = entries.iter().enumerate().filter(|(place, it)| it.kind == Kind::Directory && !used[*place]);
    if let Some(first) = parts.first_mut() {
        first.places.extend(empty.map(|(place, _)| place));
        first.places.sort_unstable();
        first.places.dedup();
    }
}

#[cfg(test)]
mod tests;

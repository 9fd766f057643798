//! Makes the Dockerfile copy from the parts of a context that was cut, and rebuild when a secret changes.
//!
//! `COPY . .` becomes one `COPY --from` per part, in the order of the parts: the result is the same, and a change costs
//! the part it is in and those after it. A `RUN` that mounts a secret also mounts a file that changes with the secret,
//! which makes it part of the step's cache key without telling it. What is not plainly of these forms stays as it is.

use std::collections::BTreeSet;

use domain::reason::{Reason, ReasonCode};

use crate::glob;
use crate::instruction::{self, Instruction, Line, Role};
use crate::parts::Part;
use crate::tree::{self, Entry, Kind};

/// Under this name and its number the Dockerfile finds a part.
pub const PART: &str = "slipway-part-";
/// Under this name the Dockerfile finds the files that change with the secrets.
pub const SECRETS: &str = "slipway-secrets";
/// Where a step sees them; nothing of it stays in the image.
const SECRETS_TARGET: &str = "/run/slipway-secrets";

/// How messages name a line.
const LINE: &str = "line ";

/// A Dockerfile that does the same as the one it was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten {
    pub bytes: Vec<u8>,
    /// For each of its lines, the line of the original, from 1.
    pub lines: Vec<usize>,
}

impl Rewritten {
    /// A reason that names a line, with the line of the original.
    pub fn in_original(&self, mut reason: Reason) -> Reason {
        if reason.code == ReasonCode::DockerfileInvalid
            && let Some((before, rest)) = reason.message.split_once(LINE)
        {
            let (number, after) =
                rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
            let original = number.parse().ok().and_then(|line: usize| self.lines.get(line.checked_sub(1)?));
            if let Some(original) = original {
                reason.message = format!("{before}{LINE}{original}{after}");
            }
        }
        reason
    }
}

/// `entries` is the list that was cut into `parts`; `secrets` are the ids of those that the build may mount.
pub fn rewrite(
    dockerfile: &[u8],
    entries: &[&Entry],
    parts: &[Part],
    secrets: &BTreeSet<String>,
) -> Rewritten {
    let text = String::from_utf8_lossy(dockerfile);
    let all = instruction::lines(&text);
    let (mut bytes, mut lines) = (Vec::new(), Vec::new());
    for (index, line) in all.iter().enumerate() {
        let replaced = copies(*line, entries, parts).or_else(|| with_secrets(&all[index..], secrets));
        for text in replaced.unwrap_or_else(|| vec![line.text.to_owned()]) {
            bytes.extend(text.as_bytes());
            lines.push(index + 1);
        }
    }
    Rewritten { bytes, lines }
}

/// The name of a step as the author of its Dockerfile knows it, with the part that it copies.
pub fn original_name(name: &str, parts: &[Part]) -> String {
    let copied =
        name.split(' ').find_map(|word| word.strip_prefix("--from=")?.strip_prefix(PART)?.parse().ok());
    let ours =
        |word: &&str| word.starts_with(&format!("--from={PART}")) || word.starts_with(&secret_mount(""));
    let plain = name.split(' ').filter(|word| !ours(word)).collect::<Vec<_>>().join(" ");
    match copied.and_then(|part: usize| parts.get(part)) {
        Some(part) => format!("{plain} ({})", part.name),
        None => plain,
    }
}

fn copies(line: Line<'_>, entries: &[&Entry], parts: &[Part]) -> Option<Vec<String>> {
    if parts.is_empty() || line.role != Role::Whole || line.text.contains("<<") {
        return None;
    }
    let Instruction { keyword, flags, arguments } = instruction::parse(line.text)?;
    let known = |flag: &str| ["--chown=", "--chmod=", "--link"].iter().any(|known| flag.starts_with(known));
    if !keyword.eq_ignore_ascii_case("COPY") || !flags.iter().all(|flag| known(flag)) {
        return None;
    }
    let (destination, sources) = arguments.split_last()?;
    let odd = |word: &str| word.contains(['$', '"', '\'', '\\', '[', ']']);
    if sources.is_empty() || sources.iter().any(|it| odd(it)) || destination.starts_with(['[', '"']) {
        return None;
    }
    let found = sources.iter().map(|source| parts_of(source, entries, parts)).collect::<Option<Vec<_>>>()?;
    let mut all: Vec<usize> = found.concat();
    all.sort_unstable();
    all.dedup();
    // Only one directory can be copied in pieces: several files into one that is not there would fail.
    if all.is_empty() || (all.len() > 1 && sources.len() > 1) {
        return None;
    }
    let mut words = flags.clone();
    words.extend(&arguments);
    let end = if line.text.ends_with('\n') { "\n" } else { "" };
    let last = all.len() - 1;
    let copy = |(index, part): (usize, usize)| {
        let end = if index < last { "\n" } else { end };
        format!("COPY --from={PART}{part} {}{end}", words.join(" "))
    };
    Some(all.into_iter().enumerate().map(copy).collect())
}

/// The parts that hold what `source` names; `None` where that cannot be said for certain.
fn parts_of(source: &str, entries: &[&Entry], parts: &[Part]) -> Option<Vec<usize>> {
    let path = tree::clean(source.trim_start_matches('/'));
    if path.starts_with("..") || path.contains("**") {
        return None;
    }
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", &path));
    if directory.contains(['*', '?']) || !is_plain_directory(directory, entries) {
        return None;
    }
    let wanted: Box<dyn Fn(&Entry) -> bool> = if name.contains(['*', '?']) {
        let glob = glob::compile(&path)?;
        Box::new(move |entry| glob::matches(&glob, &entry.path))
    } else if is_plain_directory(&path, entries) {
        let inside = if path.is_empty() { String::new() } else { format!("{path}/") };
        Box::new(move |entry| entry.path.starts_with(&inside))
    } else {
        let path = path.clone();
        Box::new(move |entry| entry.path == path)
    };
    let matches: Vec<usize> = (0..entries.len()).filter(|place| wanted(entries[*place])).collect();
    let is_pattern = name.contains(['*', '?']);
    // A pattern that finds a directory copies all that is in it, and a link is followed to wherever it leads.
    if is_pattern && matches.iter().any(|place| entries[*place].kind != Kind::File) {
        return None;
    }
    if !is_pattern
        && matches.len() == 1
        && entries[matches[0]].kind == Kind::Symlink
        && entries[matches[0]].path == path
    {
        return None;
    }
    let holds = |part: &Part| {
        matches
            .iter()
            .any(|place| part.places.binary_search(place).is_ok() && entries[*place].kind != Kind::Directory)
    };
    let found: Vec<usize> = (0..parts.len()).filter(|part| holds(&parts[*part])).collect();
    let is_directory = is_plain_directory(&path, entries);
    (!found.is_empty() && (is_directory || found.len() == 1)).then_some(found)
}

/// Whether the path leads to a directory, through directories only.
fn is_plain_directory(path: &str, entries: &[&Entry]) -> bool {
    path.is_empty()
        || entries
            .binary_search_by(|it| tree::order(&it.path, path))
            .is_ok_and(|at| entries[at].kind == Kind::Directory)
}

fn secret_mount(id: &str) -> String {
    match id {
        "" => format!("--mount=type=bind,from={SECRETS},"),
        id => format!("--mount=type=bind,from={SECRETS},source=/{id},target={SECRETS_TARGET}/{id}"),
    }
}

/// `lines` begins with the first of the instruction.
fn with_secrets(lines: &[Line<'_>], secrets: &BTreeSet<String>) -> Option<Vec<String>> {
    let first = lines.first().filter(|line| line.role != Role::Other && !secrets.is_empty())?.text;
    let start = first.len() - first.trim_start().len();
    let (keyword, rest) = first.split_at_checked(start + 3)?;
    if !keyword.trim_start().eq_ignore_ascii_case("RUN") || !rest.starts_with([' ', '\t']) {
        return None;
    }
    let later = lines[1..].iter().take_while(|line| line.role == Role::Other).map(|line| line.text);
    let words: Vec<&str> = rest.split_whitespace().chain(later.flat_map(str::split_whitespace)).collect();
    let mounts =
        words.iter().filter_map(|word| word.strip_prefix("--mount=")).filter(|it| it.contains("type=secret"));
    let used: BTreeSet<&String> = mounts.flat_map(|mount| mounted(mount, secrets)).collect();
    let added: String = used.into_iter().map(|id| format!(" {}", secret_mount(id))).collect();
    (!added.is_empty()).then(|| vec![format!("{keyword}{added}{rest}")])
}

/// The secrets that a mount's options name; all of them where it cannot be said which.
fn mounted<'s>(mount: &str, secrets: &'s BTreeSet<String>) -> Vec<&'s String> {
    let option = |names: &[&str]| {
        mount
            .split(',')
            .filter_map(|it| it.split_once('='))
            .find(|(name, _)| names.contains(name))
            .map(|(_, value)| value)
    };
    let target =
        option(&["target", "dst", "destination"]).map(|path| path.rsplit('/').next().unwrap_or_default());
    match option(&["id"]).or(target) {
        Some(id) if !id.contains(['$', '"', '\'']) => secrets.get(id).into_iter().collect(),
        _ => secrets.iter().collect(),
    }
}

#[cfg(test)]
mod tests;

//! Commits and trees in which nothing is unusual. Less than git accepts, and nothing that it refuses: git's `fsck` of what
//! is found here complains about nothing. Pure.

use std::collections::HashSet;

use git2::Oid;

use crate::check;

/// Longer names are not of files that anybody could check out.
const NAME_MAX: usize = 255;
/// The seconds of a date in the year 5138.
const DATE_DIGITS_MAX: usize = 11;
/// What starts with `.git` and means nothing to git.
const NOT_GITS: [&str; 6] = [".gitignore", ".gitkeep", ".github", ".gitlab", ".gitlab-ci.yml", ".gitea"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    /// Links and submodules, which git looks at more closely.
    Other,
}

#[derive(Debug)]
pub(super) struct Entry<'a> {
    mode: &'a [u8],
    pub(super) name: &'a [u8],
    pub(super) id: Oid,
    pub(super) kind: Kind,
}

impl Entry<'_> {
    /// Git has nothing to say against it, whatever it is.
    pub(super) fn is_plain(&self) -> bool {
        self.kind != Kind::Other && std::str::from_utf8(self.name).is_ok_and(is_plain)
    }

    pub(super) fn is_same(&self, other: &Entry<'_>) -> bool {
        (self.mode, self.name, self.id) == (other.mode, other.name, other.id)
    }
}

fn is_plain(name: &str) -> bool {
    let is_odd = |c: char| c.is_control() || matches!(c, '/' | '\\' | ':' | '~') || check::is_ignored(c);
    let is_gits = name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(".git"));
    !matches!(name, "" | "." | "..")
        && name.len() <= NAME_MAX
        && !name.contains(is_odd)
        && (!is_gits || NOT_GITS.contains(&name))
}

/// The entries, in order and each name once. One that is not plain may be among them.
pub(super) fn tree(mut bytes: &[u8]) -> Option<Vec<Entry<'_>>> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    let mut names = HashSet::new();
    while !bytes.is_empty() {
        let (mode, rest) = split(bytes, b' ')?;
        let (name, rest) = split(rest, 0)?;
        let (id, rest) = rest.split_at_checked(20)?;
        bytes = rest;
        let kind = match mode {
            b"100644" | b"100755" => Kind::File,
            b"40000" => Kind::Directory,
            b"120000" | b"160000" => Kind::Other,
            _ => return None,
        };
        let entry = Entry { mode, name, id: Oid::from_bytes(id).ok()?, kind };
        let is_next = entries.last().is_none_or(|before| sort_key(before).lt(sort_key(&entry)));
        if name.is_empty() || entry.id.is_zero() || !is_next || !names.insert(name) {
            return None;
        }
        entries.push(entry);
    }
    Some(entries)
}

/// What entries are sorted by: directories as if their names ended with a slash.
fn sort_key<'e>(entry: &'e Entry<'_>) -> impl Iterator<Item = &'e u8> {
    entry.name.iter().chain((entry.kind == Kind::Directory).then_some(&b'/'))
}

/// The tree and the parents of a commit.
pub(super) fn commit(bytes: &[u8]) -> Option<(Oid, Vec<Oid>)> {
    if bytes.contains(&0) {
        return None;
    }
    let (tree, mut rest) = id_line(bytes, b"tree ")?;
    let mut parents = Vec::new();
    while let Some((parent, after)) = id_line(rest, b"parent ") {
        parents.push(parent);
        rest = after;
    }
    for who in [&b"author "[..], b"committer "] {
        let (line, after) = split(rest.strip_prefix(who)?, b'\n')?;
        is_person(line).then_some(())?;
        rest = after;
    }
    is_rest(rest).then_some((tree, parents))
}

/// Signatures and an encoding, an empty line, and the message.
fn is_rest(mut rest: &[u8]) -> bool {
    let mut is_long = false;
    while let Some((line, after)) = split(rest, b'\n') {
        rest = after;
        let begins = |starts: &[&str]| starts.iter().any(|start| line.starts_with(start.as_bytes()));
        match line {
            [] => return true,
            [b' ', ..] if is_long => {}
            _ if begins(&["gpgsig ", "gpgsig-sha256 ", "mergetag "]) => is_long = true,
            _ if begins(&["encoding "]) => is_long = false,
            _ => return false,
        }
    }
    false
}

fn id_line<'a>(bytes: &'a [u8], start: &[u8]) -> Option<(Oid, &'a [u8])> {
    let (id, rest) = split(bytes.strip_prefix(start)?, b'\n')?;
    let is_id = id.len() == 40 && id.iter().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
    Some((Oid::from_str(std::str::from_utf8(id).ok().filter(|_| is_id)?).ok()?, rest))
}

/// `Ada <ada@example.org> 1700000000 +0100`.
fn is_person(line: &[u8]) -> bool {
    let parse = || {
        let (name, rest) = split(line, b'<')?;
        let (email, rest) = split(rest, b'>')?;
        let (date, zone) = split(rest.strip_prefix(b" ")?, b' ')?;
        let is_name = name.len() > 1 && name.ends_with(b" ") && !name.contains(&b'>');
        let is_date = is_number(date) && date.len() <= DATE_DIGITS_MAX && (date == b"0" || date[0] != b'0');
        let is_zone = zone.len() == 5 && matches!(zone[0], b'+' | b'-') && is_number(&zone[1..]);
        Some(is_name && !email.contains(&b'<') && is_date && is_zone)
    };
    parse().unwrap_or(false)
}

fn is_number(digits: &[u8]) -> bool {
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

fn split(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let index = bytes.iter().position(|it| *it == at)?;
    Some((&bytes[..index], &bytes[index + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "1111111111111111111111111111111111111111";

    fn entry(mode: &str, name: &str) -> Vec<u8> {
        [format!("{mode} {name}\0").as_bytes(), &[0x11; 20]].concat()
    }

    #[test]
    fn names_of_files() {
        for name in
            ["a", "a.b", ".gitignore", ".github", ".env", "Dockerfile", "\u{e4}\u{3b2}", "a b", "-x", "..."]
        {
            assert!(is_plain(name), "{name:?}");
        }
        for name in [
            "",
            ".",
            "..",
            ".git",
            ".GIT",
            ".gitmodules",
            ".Gitattributes",
            ".git ",
            ".git.x",
            "a/b",
            "a\\b",
            "git~1",
            "gi7eba~1",
            ".g\u{200c}itmodules",
            "a:b",
            "a\nb",
            "a\u{7f}",
        ] {
            assert!(!is_plain(name), "{name:?}");
        }
        assert!(!is_plain(&"a".repeat(256)) && is_plain(&"a".repeat(255)));
        assert!(is_plain("\u{e4}.g") && !is_plain(".gi\u{200d}t"));
    }

    #[test]
    fn trees() {
        let good = [entry("100644", "a"), entry("100644", "a.b"), entry("40000", "b"), entry("120000", "c")];
        assert_eq!(tree(&good.concat()).map(|it| it.len()), Some(4));
        assert!(tree(b"").is_some_and(|it| it.is_empty()));
        for bad in [
            // Not in order, twice, and twice with another one between them.
            vec![entry("100644", "b"), entry("100644", "a")],
            vec![entry("100644", "a"), entry("100644", "a")],
            vec![entry("100644", "a"), entry("100644", "a.b"), entry("40000", "a")],
            vec![entry("100664", "a")],
            vec![entry("040000", "a")],
            vec![entry("100644", "")],
            vec![entry("100644", "a")[..20].to_vec()],
            vec![[b"100644 a\0".as_slice(), &[0; 20]].concat()],
        ] {
            assert!(tree(&bad.concat()).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn commits() {
        let text = |author: &str, end: &str| {
            format!("tree {ID}\nparent {ID}\nauthor {author}\ncommitter A B <a@b> 0 -0830\n{end}")
        };
        let good = text("A <> 1700000000 +0100", "gpgsig x\n y\n\nA message\n");
        assert_eq!(commit(good.as_bytes()).map(|(_, parents)| parents.len()), Some(1));
        for end in ["\n", "encoding x\ngpgsig y\n z\n\nm", "\nm\n\n more"] {
            assert!(commit(text("A <a@b> 1 +0000", end).as_bytes()).is_some(), "{end:?}");
        }
        for (author, end) in [
            ("<a@b> 1 +0000", "\nm"),
            ("A<a@b> 1 +0000", "\nm"),
            ("A> <a@b> 1 +0000", "\nm"),
            ("A <a<b> 1 +0000", "\nm"),
            ("A <a@b>1 +0000", "\nm"),
            ("A <a@b> 01 +0000", "\nm"),
            ("A <a@b> 999999999999 +0000", "\nm"),
            ("A <a@b> -1 +0000", "\nm"),
            ("A <a@b> 1 0000", "\nm"),
            ("A <a@b> 1 +00000", "\nm"),
            ("A <a@b> 1 +0000", "m"),
            ("A <a@b> 1 +0000", "gpgsig x\n"),
            ("A <a@b> 1 +0000", " more\n\nm"),
            ("A <a@b> 1 +0000", "encoding x\n more\n\nm"),
            ("A <a@b> 1 +0000", "other x\n\nm"),
            ("A <a@b> 1 +0000", "\nm\0"),
        ] {
            assert!(commit(text(author, end).as_bytes()).is_none(), "{author:?} {end:?}");
        }
        assert!(commit(good.replace("tree 1", "tree A").as_bytes()).is_none());
        assert!(commit(good.replacen("tree ", "tree", 1).as_bytes()).is_none());
        assert!(commit(b"").is_none());
    }
}

//! What a commit may hold that no build should meet: names that mean the folder of git, links that lead out of the
//! repository, and what stands for files without being them.

use git2::{Odb, Oid};
use plan::tree::{Entry, Kind, Tree};

use crate::GitError;

/// A chain of symbolic links longer than this is a loop for Linux, and leads nowhere.
const LINKS_MAX: usize = 40;
/// So many parts of paths are followed in all. Real repositories need some thousands.
const STEPS_MAX: usize = 1_000_000;
/// No pointer of Git LFS is larger.
const POINTER_MAX: u64 = 1024;
const POINTER_START: &[u8] = b"version https://git-lfs.github.com/spec/";
const ATTRIBUTES: &str = ".gitattributes";
const ATTRIBUTES_MAX: u64 = 1 << 20;

/// Everything that must not be in a tree; `objects` are those of its entries.
pub(crate) fn tree(tree: &Tree, objects: &[Oid], odb: &Odb<'_>) -> Result<(), GitError> {
    let entries = tree.entries();
    if let Some(pair) = entries.windows(2).find(|pair| pair[0].path == pair[1].path) {
        return Err(GitError::Invalid(format!("{}: the repository holds this name twice", pair[0].path)));
    }
    if let Some(entry) = entries.iter().find(|entry| entry.kind == Kind::Submodule) {
        return Err(GitError::Invalid(format!(
            "{}: this is a submodule, and submodules are not supported yet. Copy its files into this repository \
             (git subtree add does that), or let the Dockerfile fetch them",
            entry.path
        )));
    }
    links(tree)?;
    pointers(entries, objects, odb)
}

/// Whether some file system takes this name for `.git`: macOS ignores case and some invisible characters, Windows
/// ignores case, dots and spaces at the end and what follows a colon, and knows a short name for it.
pub(crate) fn is_dot_git(name: &str) -> bool {
    const SHORT: &str = "git~1";
    let visible: String = name.chars().filter(|c| !is_ignored(*c)).collect();
    if visible.eq_ignore_ascii_case(".git") {
        return true;
    }
    name.split('\\').any(|part| {
        let part = part.split(':').next().unwrap_or_default();
        let part = part.trim_end_matches(['.', ' ']);
        part.eq_ignore_ascii_case(".git") || part.eq_ignore_ascii_case(SHORT)
    })
}

/// The characters that HFS+ leaves out when it compares names.
pub(crate) const fn is_ignored(c: char) -> bool {
    matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

fn links(tree: &Tree) -> Result<(), GitError> {
    let mut steps = 0;
    for link in tree.entries().iter().filter(|entry| entry.kind == Kind::Symlink) {
        if leaves(tree, link, &mut steps) {
            return Err(GitError::Invalid(format!(
                "{}: the symbolic link leads to {:?}, which is outside the repository. Make it a relative link to \
                 something inside, or let the Dockerfile make the link",
                link.path,
                link.link.chars().take(200).collect::<String>()
            )));
        }
        if steps > STEPS_MAX {
            return Err(GitError::Invalid(format!(
                "{}: the symbolic links of the repository lead through too many others",
                link.path
            )));
        }
    }
    Ok(())
}

/// Follows a link as a file system would. What is not there, and a loop, leads nowhere and so not out.
fn leaves(tree: &Tree, link: &Entry, steps: &mut usize) -> bool {
    let mut at = parent(&link.path).to_owned();
    let mut rest: Vec<&str> = Vec::new();
    let mut next = Some(link);
    for _ in 0..LINKS_MAX {
        let Some(link) = next.take() else { return false };
        if link.link.starts_with('/') {
            return true;
        }
        let before = rest.len();
        rest.extend(link.link.rsplit('/'));
        *steps += rest.len() - before;
        if *steps > STEPS_MAX {
            return false;
        }
        while let Some(part) = rest.pop() {
            match part {
                "" | "." => {}
                ".." if at.is_empty() => return true,
                ".." => at.truncate(parent(&at).len()),
                part => {
                    let length = at.len();
                    at = if at.is_empty() { part.to_owned() } else { format!("{at}/{part}") };
                    next = tree.get(&at).filter(|entry| entry.kind == Kind::Symlink);
                    if next.is_some() {
                        at.truncate(length);
                        break;
                    }
                }
            }
        }
    }
    false
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// Only where the repository says that some files are kept in LFS: elsewhere a text that looks like a pointer is one.
fn pointers(entries: &[Entry], objects: &[Oid], odb: &Odb<'_>) -> Result<(), GitError> {
    let files = || {
        entries.iter().zip(objects).filter(|(entry, _)| matches!(entry.kind, Kind::File | Kind::Executable))
    };
    let mut kept_elsewhere = false;
    for (entry, object) in files() {
        let name = entry.path.rsplit('/').next().unwrap_or_default();
        if name == ATTRIBUTES && entry.size <= ATTRIBUTES_MAX {
            kept_elsewhere |= odb.read(*object)?.data().windows(10).any(|it| it == b"filter=lfs");
        }
    }
    for (entry, object) in files().filter(|(entry, _)| kept_elsewhere && entry.size <= POINTER_MAX) {
        if odb.read(*object)?.data().starts_with(POINTER_START) {
            return Err(GitError::Invalid(format!(
                "{}: this is only a pointer to a file in Git LFS, and LFS is not supported yet. Commit the file itself \
                 (git lfs untrack, then git add --renormalize), or let the Dockerfile fetch it",
                entry.path
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mean_the_folder_of_git() {
        for name in [
            ".git",
            ".GIT",
            ".giT",
            ".git.",
            ".git ",
            ".git . .",
            ".g\u{200c}it",
            "\u{feff}.git",
            "git~1",
            "GIT~1",
            "git~1.",
            ".git::$INDEX_ALLOCATION",
            ".git:x",
            ".git\\config",
            "a\\.git",
            ".git \\x",
        ] {
            assert!(is_dot_git(name), "{name:?}");
        }
        for name in [
            ".gitignore",
            ".gitmodules",
            ".gitattributes",
            ".github",
            "git",
            "git~2",
            "git~10",
            ".git-x",
            "x.git",
            ". git",
            ".git.x",
            "a:.git",
        ] {
            assert!(!is_dot_git(name), "{name:?}");
        }
    }

    fn link(path: &str, target: &str) -> Entry {
        Entry { path: path.to_owned(), kind: Kind::Symlink, size: 1, link: target.to_owned() }
    }

    fn file(path: &str, kind: Kind) -> Entry {
        Entry { path: path.to_owned(), kind, size: 1, link: String::new() }
    }

    #[test]
    fn links_that_leave_the_repository() {
        let tree = Tree::new(vec![
            file("a", Kind::Directory),
            file("a/b", Kind::Directory),
            link("a/b/top", "../.."),
            link("a/loop", "loop"),
            link("absolute", "/etc"),
        ]);
        for (path, target, expected) in [
            ("l", "/etc/passwd", true),
            ("l", "..", true),
            ("l", "a/../..", true),
            ("a/l", "../..", true),
            ("a/b/l", "../../../x", true),
            // As text it stays inside.
            ("l", "a/b/top/../x", true),
            ("l", "absolute/passwd", true),
            ("l", "gone/../..", true),
            ("l", "a", false),
            ("l", ".", false),
            ("a/b/l", "../..", false),
            ("a/b/l", "../../gone", false),
            ("l", "a/b/top/a/b/top", false),
            ("l", "a/loop/../../..", false),
            ("l", "...", false),
        ] {
            let link = link(path, target);
            assert_eq!(leaves(&tree, &link, &mut 0), expected, "{path} -> {target}");
        }
    }

    #[test]
    fn links_that_take_too_long_to_follow() {
        let long = "x/".repeat(2000);
        let mut entries: Vec<Entry> = (0..600).map(|n| link(&format!("l{n}"), &long)).collect();
        assert!(
            links(&Tree::new(entries.clone())).is_err_and(|error| error.to_string().contains("too many"))
        );
        entries.truncate(100);
        assert!(links(&Tree::new(entries)).is_ok());
    }
}

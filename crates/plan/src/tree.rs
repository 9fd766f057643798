//! What a repository holds at one commit: paths, kinds and sizes, without content.

use std::cmp::Ordering;

/// A chain of symbolic links longer than this is taken for a loop, as Linux does.
const LINKS_MAX: usize = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    Executable,
    Symlink,
    Directory,
    /// The commit of another repository stands here; its files are not fetched.
    Submodule,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the root, `/` between the parts.
    pub path: String,
    pub kind: Kind,
    pub size: u64,
    /// What a symbolic link points to; empty for everything else.
    pub link: String,
}

/// The entries of a commit, each directory directly before what it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    entries: Vec<Entry>,
}

impl Tree {
    pub fn new(mut entries: Vec<Entry>) -> Tree {
        entries.sort_by(|a, b| order(&a.path, &b.path));
        Tree { entries }
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The place of `path` in [`Tree::entries`].
    pub fn position(&self, path: &str) -> Option<usize> {
        self.entries.binary_search_by(|it| order(&it.path, path)).ok()
    }

    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.position(path).and_then(|at| self.entries.get(at))
    }

    /// The file at `path`, through symbolic links that stay inside the repository.
    pub fn file(&self, path: &str) -> Option<&Entry> {
        let mut path = clean(path);
        for _ in 0..LINKS_MAX {
            let mut parts = path.split('/');
            let mut seen = String::new();
            let link = loop {
                let Some(part) = parts.next() else { break None };
                seen = if seen.is_empty() { part.to_owned() } else { format!("{seen}/{part}") };
                let entry = self.get(&seen)?;
                if entry.kind == Kind::Symlink {
                    break Some(entry);
                }
            };
            let Some(link) = link else {
                return self.get(&path).filter(|it| matches!(it.kind, Kind::File | Kind::Executable));
            };
            if link.link.starts_with('/') {
                return None;
            }
            let parent = seen.rsplit_once('/').map_or("", |(parent, _)| parent);
            let rest = parts.collect::<Vec<_>>().join("/");
            path = clean(&format!("{parent}/{}/{rest}", link.link));
        }
        None
    }
}

/// The order of a depth-first walk that visits siblings by the bytes of their names. The order of whole paths is
/// another one (`a-b` stands between `a` and `a/b`), and so is git's, which sorts a directory as `name/`.
pub fn order(a: &str, b: &str) -> Ordering {
    let key = |byte: u8| if byte == b'/' { 0 } else { byte };
    a.bytes().map(key).cmp(b.bytes().map(key))
}

/// The shortest relative path that means the same. A path that leaves the root starts with `..`.
pub fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, kind: Kind, link: &str) -> Entry {
        Entry { path: path.to_owned(), kind, size: 1, link: link.to_owned() }
    }

    #[test]
    fn a_directory_stands_before_what_it_holds() {
        let paths = ["foo.txt", "foo/b", "foo", "foo-bar", "foo/a/c", "foo/a", "a"];
        let tree = Tree::new(paths.iter().map(|path| entry(path, Kind::File, "")).collect());
        let sorted: Vec<&str> = tree.entries().iter().map(|it| it.path.as_str()).collect();
        assert_eq!(sorted, ["a", "foo", "foo/a", "foo/a/c", "foo/b", "foo-bar", "foo.txt"]);
        assert_eq!(tree.position("foo-bar"), Some(5));
        assert_eq!(tree.position("foo-baz"), None);
    }

    #[test]
    fn follows_links_inside_the_repository_only() {
        let tree = Tree::new(vec![
            entry("docker", Kind::Directory, ""),
            entry("docker/web", Kind::File, ""),
            entry("Dockerfile", Kind::Symlink, "./images/web"),
            entry("images", Kind::Symlink, "docker"),
            entry("loop", Kind::Symlink, "loop"),
            entry("out", Kind::Symlink, "../../etc/passwd"),
            entry("abs", Kind::Symlink, "/docker/web"),
        ]);
        assert_eq!(tree.file("Dockerfile").map(|it| it.path.as_str()), Some("docker/web"));
        assert_eq!(tree.file("./images/../docker/web").map(|it| it.path.as_str()), Some("docker/web"));
        for nothing in ["loop", "out", "abs", "docker", "images", "gone", ""] {
            assert_eq!(tree.file(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn cleans_paths() {
        for (path, cleaned) in [
            ("./a//b/", "a/b"),
            ("/a", "a"),
            ("a/../b", "b"),
            ("../a", "../a"),
            ("a/../../b", "../b"),
            (".", ""),
        ] {
            assert_eq!(clean(path), cleaned, "{path}");
        }
    }
}

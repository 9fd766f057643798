//! What a build's files come from: whoever implements [`Source`] decides which files there are.

use std::cmp::Ordering;

/// One file, directory or symbolic link of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceEntry {
    /// Relative to the root, `/` between the parts, without a leading or trailing one.
    pub path: String,
    pub kind: EntryKind,
    /// Bytes of a file; else 0.
    pub size: u64,
    /// The target of a symbolic link, else empty.
    pub linkname: String,
    /// Must change whenever the content changes and may not change otherwise: BuildKit asks only for files
    /// whose size or mtime differ from the last transfer.
    pub mtime_ns: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    Directory,
    File,
    Executable,
    Symlink,
}

/// The files that one build may read. Entries come in the order of fsutil: see [`order`].
pub trait Source: Send + Sync + 'static {
    fn entries(&self) -> &[SourceEntry];

    /// The whole content of the file at `index` of [`Source::entries`]. May block: it is called off the runtime.
    fn open(&self, index: usize) -> anyhow::Result<Vec<u8>>;
}

/// The order of entries that BuildKit demands: byte order in which `/` sorts before every other byte,
/// so that a directory stands directly before what it holds. Git's tree order is another one.
pub fn order(a: &str, b: &str) -> Ordering {
    let key = |byte: u8| if byte == b'/' { 0 } else { byte };
    a.bytes().map(key).cmp(b.bytes().map(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_stands_directly_before_what_it_holds() {
        let mut paths = ["foo.txt", "foo/b", "foo", "foo-bar", "Foo", "foo/a/x", "foo/a"];
        paths.sort_by(|a, b| order(a, b));
        assert_eq!(paths, ["Foo", "foo", "foo/a", "foo/a/x", "foo/b", "foo-bar", "foo.txt"]);
    }
}

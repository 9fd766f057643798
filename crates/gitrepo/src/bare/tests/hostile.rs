//! Trees that no honest git makes, on both ways to a build: what a push does not bring in, a forge may.

use git2::{ObjectType, Oid};

use super::*;
use crate::Snapshot;

/// What becomes of a tree once it is read for a build.
enum Read {
    Refused(&'static str),
    Harmless,
}
use Read::{Harmless, Refused};

/// Entries of a tree as git writes them: mode, name and what is in the file.
type Entries = &'static [(&'static str, &'static str, &'static str)];

const FILE: &str = "100644";
const LINK: &str = "120000";
const FOLDER: &str = "40000";
const SUBMODULE: &str = "160000";

/// Name, entries, whether a push is refused, and what a build makes of it.
const TREES: &[(&str, Entries, bool, Read)] = &[
    ("a folder .git", &[(FOLDER, ".git", "")], true, Refused("take this name for .git")),
    ("a parent", &[(FOLDER, "..", "")], true, Refused("not a name for a file")),
    ("a path for a name", &[(FILE, "a/b", "x")], true, Refused("not a name for a file")),
    ("a name twice", &[(FILE, "a", "x"), (FILE, "a", "y")], true, Refused("this name twice")),
    ("a file and a folder", &[(FILE, "a", "x"), (FOLDER, "a", "")], true, Refused("this name twice")),
    ("macOS's .git", &[(FOLDER, ".g\u{200c}it", "")], true, Refused("take this name for .git")),
    ("Windows' .git", &[(FOLDER, "git~1", "")], true, Refused("take this name for .git")),
    ("a link in place of .git", &[(LINK, ".GIT", "x")], true, Refused("take this name for .git")),
    (
        "an option for a path",
        &[(FILE, ".gitmodules", "[submodule \"a\"]\npath = -u\nurl = x\n")],
        true,
        Harmless,
    ),
    (
        "an option for a URL",
        &[(FILE, ".gitmodules", "[submodule \"a\"]\npath = a\nurl = -u\n")],
        true,
        Harmless,
    ),
    (
        "a submodule's way out",
        &[(FILE, ".gitmodules", "[submodule \"../x\"]\npath = a\nurl = x\n")],
        true,
        Harmless,
    ),
    ("a link for .gitmodules", &[(LINK, ".gitmodules", "x")], true, Harmless),
    ("an absolute link", &[(LINK, "a", "/etc/passwd")], false, Refused("outside the repository")),
    ("a link out", &[(LINK, "a", "../../etc/passwd")], false, Refused("outside the repository")),
    ("a link inside", &[(LINK, "a", "b/../c")], false, Harmless),
    (
        "a submodule on disk",
        &[(FILE, ".gitmodules", "[submodule \"a\"]\npath = a\nurl = file:///etc\n")],
        false,
        Harmless,
    ),
    ("a submodule", &[(SUBMODULE, "a", "")], false, Refused("submodules are not supported yet")),
    ("an odd mode", &[("100666", "a", "x")], false, Harmless),
    (
        "a pointer of LFS",
        &[
            (FILE, ".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n"),
            (FILE, "a.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
        ],
        false,
        Refused("LFS is not supported yet"),
    ),
    (
        "a text about LFS",
        &[(FILE, "a.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")],
        false,
        Harmless,
    ),
];

/// Writes the objects into the client's repository as they are.
fn commit(server: &Server, entries: Entries) -> Commit {
    let repository = git2::Repository::open(server.work()).unwrap();
    let odb = repository.odb().unwrap();
    let mut tree = Vec::new();
    for (mode, name, content) in entries {
        let object = match *mode {
            FOLDER => odb.write(ObjectType::Tree, b"").unwrap(),
            SUBMODULE => Oid::from_str(&"ab".repeat(20)).unwrap(),
            _ => odb.write(ObjectType::Blob, content.as_bytes()).unwrap(),
        };
        tree.extend_from_slice(format!("{mode} {name}\0").as_bytes());
        tree.extend_from_slice(object.as_bytes());
    }
    let tree = odb.write(ObjectType::Tree, &tree).unwrap();
    let text = format!("tree {tree}\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nhostile\n");
    Commit::parse(&odb.write(ObjectType::Commit, text.as_bytes()).unwrap().to_string()).unwrap()
}

#[tokio::test]
async fn hostile_trees_are_refused_or_harmless() {
    for (name, entries, is_push_refused, read) in TREES {
        let server = Server::new();
        let commit = commit(&server, entries);
        let (_, answer) = server.push("main", &commit, &[]).await;
        assert_eq!(server.repository.pins().unwrap().is_empty(), *is_push_refused, "{name}: {answer:?}");
        if *is_push_refused {
            answer.assert_refused("unpack");
            assert!(answer.said.contains("error: object "), "{name}: {answer:?}");
        }
        match (Snapshot::read(&server.work().join(".git"), &commit), read) {
            (Ok(_), Harmless) => {}
            (Err(GitError::Invalid(text)), Refused(why)) => assert!(text.contains(why), "{name}: {text}"),
            (read, _) => panic!("{name}: {read:?}"),
        }
    }
}

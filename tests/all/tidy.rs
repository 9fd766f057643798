//! The rules of the repository that no lint knows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the repository").to_owned()
}

/// The repository's files with this ending. What it is compiled from may be a copy that git does not know.
fn files(ending: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the repository can be read") {
            let entry = entry.expect("the repository can be read");
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if name.ends_with(ending) {
                files.push(path);
            }
        }
    }
    assert!(!files.is_empty(), "no {ending} files in {}", root().display());
    files
}

#[test]
fn pure_crates_have_no_runtime() {
    for package in ["domain", "plan", "llb", "manifest", "gitwire", "redact", "sbom"] {
        let tree = Command::new(env!("CARGO"))
            .args(["tree", "--offline", "--edges", "normal", "--prefix", "none", "--package", package])
            .current_dir(root())
            .output()
            .unwrap();
        assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
        let tree = String::from_utf8(tree.stdout).unwrap();
        assert!(tree.starts_with(package), "{tree}");
        let runtime: Vec<&str> = tree.lines().filter(|line| line.starts_with("tokio v")).collect();
        assert!(runtime.is_empty(), "{package} depends on {runtime:?}");
    }
}

#[test]
fn every_source_file_says_what_it_is_for() {
    let silent: Vec<_> = files(".rs")
        .into_iter()
        .filter(|path| !fs::read_to_string(path).unwrap().starts_with("//!"))
        .collect();
    assert!(silent.is_empty(), "these do not open with `//!`: {silent:#?}");
}

#[test]
fn no_source_file_is_too_long() {
    let long: Vec<_> = files(".rs")
        .into_iter()
        .map(|path| (fs::read_to_string(&path).unwrap().lines().count(), path))
        .filter(|(lines, _)| *lines > 500)
        .collect();
    assert!(long.is_empty(), "find a seam in {long:#?}");
}

#[test]
fn sources_are_formatted() {
    let check =
        Command::new(env!("CARGO")).args(["fmt", "--all", "--check"]).current_dir(root()).output().unwrap();
    assert!(check.status.success(), "run `cargo fmt`:\n{}", String::from_utf8_lossy(&check.stdout));
}

#[test]
fn migrations_are_numbered_without_holes() {
    let mut names: Vec<String> = files(".sql")
        .iter()
        .filter(|path| path.starts_with(root().join("migrations")))
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    for (n, name) in names.iter().enumerate() {
        assert!(name.starts_with(&format!("{:04}_", n + 1)), "{name} is not number {}", n + 1);
    }
}

//! The copy of the sources that cargo compiles: one in the cache, for every checkout on the machine. Cargo goes by the age
//! and the place of files; here only those are written whose contents changed. So a fresh clone is compiled as far as it
//! differs from what was compiled before, and what was made from another checkout never passes for this one's.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::Context as _;

use crate::layout::Layout;

/// Makes the copy equal to this checkout.
pub(crate) fn refresh(layout: &Layout) -> anyhow::Result<()> {
    let (from, to) = (&layout.repo, layout.sources());
    fs::create_dir_all(&to).with_context(|| format!("cannot create {}", to.display()))?;
    // Not sources: git's folder, what cargo makes when it is called by hand, and what xtask makes if it is told to do so here.
    let files =
        files_in(from, &[from.join(".git"), from.join("target"), layout.cache.clone(), layout.data.clone()])?;
    for gone in files_in(&to, &[])?.difference(&files) {
        remove(&to, gone)?;
    }
    for file in &files {
        copy(&from.join(file), &to.join(file))
            .with_context(|| format!("cannot copy {} to {}", from.join(file).display(), to.display()))?;
    }
    Ok(())
}

/// By their paths in the folder, but for what is in `left_out`. No source is a link; what editors leave may be one.
fn files_in(root: &Path, left_out: &[PathBuf]) -> anyhow::Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let place = root.join(&folder);
        for entry in fs::read_dir(&place).with_context(|| format!("cannot read {}", place.display()))? {
            let entry = entry?;
            let (path, kind) = (folder.join(entry.file_name()), entry.file_type()?);
            if left_out.contains(&entry.path()) {
                continue;
            }
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                files.insert(path);
            }
        }
    }
    Ok(files)
}

/// Leaves a file alone that is the same, as far as git would see.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let is_program = |path: &Path| fs::metadata(path).map(|it| it.permissions().mode() & 0o111 != 0);
    let is_same = || io::Result::Ok(is_program(from)? == is_program(to)? && fs::read(from)? == fs::read(to)?);
    if is_same().unwrap_or(false) {
        return Ok(());
    }
    // It may be one that nobody may write to.
    fs::remove_file(to).ok();
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(from, to).map(drop)
}

/// With its folder, if nothing else is left there: cargo takes each folder of `crates` for a package.
fn remove(root: &Path, file: &Path) -> anyhow::Result<()> {
    let path = root.join(file);
    fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    for folder in file.ancestors().skip(1).filter(|folder| *folder != Path::new("")) {
        match fs::remove_dir(root.join(folder)) {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => break,
            removed => removed.with_context(|| format!("cannot remove {}", folder.display()))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::symlink;
    use std::time::SystemTime;

    use tempfile::TempDir;

    use super::*;

    fn layout() -> (TempDir, Layout) {
        let folder = tempfile::tempdir().unwrap();
        let [repo, cache, data] = ["repo", "cache", "data"].map(|name| folder.path().join(name));
        (folder, Layout { repo, cache, data })
    }

    fn write(root: &Path, file: &str, text: &str) {
        fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
        fs::write(root.join(file), text).unwrap();
    }

    fn set_mode(root: &Path, file: &str, mode: u32) {
        fs::set_permissions(root.join(file), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn copied(layout: &Layout) -> BTreeSet<PathBuf> {
        files_in(&layout.sources(), &[]).unwrap()
    }

    #[test]
    fn another_checkout_writes_only_what_differs() {
        let (folder, first) = layout();
        for (file, text) in [("Cargo.toml", "[workspace]"), ("crates/a/src/lib.rs", "1"), ("b/c/d", "2")] {
            write(&first.repo, file, text);
        }
        refresh(&first).unwrap();
        for file in copied(&first) {
            let file = File::options().write(true).open(first.sources().join(file)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }

        let second = Layout { repo: folder.path().join("other"), ..first };
        write(&second.repo, "crates/a/src/lib.rs", "3");
        write(&second.repo, "Cargo.toml", "[workspace]");
        set_mode(&second.repo, "Cargo.toml", 0o444);
        refresh(&second).unwrap();
        let [same, changed] = ["Cargo.toml", "crates/a/src/lib.rs"].map(|file| second.sources().join(file));
        let is_new = |path: &Path| fs::metadata(path).unwrap().modified().unwrap() > SystemTime::UNIX_EPOCH;
        assert!(!is_new(&same) && is_new(&changed));
        assert_eq!(fs::read_to_string(changed).unwrap(), "3");
        assert!(!second.sources().join("b").exists(), "no empty folder is left");
    }

    #[test]
    fn what_is_no_source_is_not_copied() {
        let (_folder, mut layout) = layout();
        layout.cache = layout.repo.join("cache");
        for file in [".git/HEAD", "target/debug/xtask", "crates/target/src/lib.rs", ".ci/run"] {
            write(&layout.repo, file, "");
        }
        symlink("nowhere", layout.repo.join("crates/.#lib.rs")).unwrap();
        set_mode(&layout.repo, ".ci/run", 0o755);
        for _ in 0..2 {
            refresh(&layout).unwrap();
            assert_eq!(copied(&layout), [".ci/run", "crates/target/src/lib.rs"].map(PathBuf::from).into());
        }
        let mode = fs::metadata(layout.sources().join(".ci/run")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
    }
}

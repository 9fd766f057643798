//! One target folder serves every checkout on the machine. Cargo goes by the age of files: what was compiled from another
//! checkout, after this one's files were written, looks fresh to it, whatever it was made of. So the folder remembers whose
//! it is, and the next one has the workspace's own packages compiled anew.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::{env, fs, io};

use anyhow::Context as _;
use serde_json::Value;

use crate::command;
use crate::layout::Layout;

const COMPILED_IN: &str = env!("CARGO_MANIFEST_DIR");
/// Cargo's folder of what it knows to be compiled, in that of a profile.
const FRESH: &str = ".fingerprint";

/// If this program is that of another checkout, starts this one's in its place.
pub(crate) fn be_of_this_one() -> anyhow::Result<()> {
    let is_own = env::var_os("CARGO_MANIFEST_DIR").is_none_or(|started_in| started_in == COMPILED_IN);
    if is_own {
        return Ok(());
    }
    let program = env::current_exe()?;
    let profile = program.parent().context("the program lies in a folder")?;
    let forgotten = forget(profile, &["xtask".to_owned()])?;
    anyhow::ensure!(
        forgotten > 0,
        "this is the xtask of {COMPILED_IN}; run `touch xtask/src/main.rs` and try again"
    );
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let error =
        command::bare_cargo().args(["run", "--quiet", "--package", "xtask", "--"]).args(arguments).exec();
    Err(error).context("cannot start cargo")
}

/// Sees to it that cargo compiles this checkout, and keeps what it has of dependencies.
pub(crate) fn take_over_target(layout: &Layout) -> anyhow::Result<()> {
    let target = layout.target();
    let (owner, own) = (target.join("checkout"), layout.repo.as_os_str().as_encoded_bytes());
    if fs::read(&owner).is_ok_and(|former| former == own) {
        return Ok(());
    }
    let packages = packages(layout)?;
    for profile in ["debug", "release"] {
        forget(&target.join(profile), &packages)?;
    }
    fs::create_dir_all(&target).with_context(|| format!("cannot create {}", target.display()))?;
    fs::write(&owner, own).with_context(|| format!("cannot write {}", owner.display()))
}

/// Those of the workspace.
fn packages(layout: &Layout) -> anyhow::Result<Vec<String>> {
    let said =
        command::output(command::cargo(layout).args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&said).context("reading what cargo says of the workspace")?;
    let packages = metadata["packages"].as_array().context("cargo names no packages")?;
    Ok(packages.iter().filter_map(|package| Some(package["name"].as_str()?.to_owned())).collect())
}

/// Makes cargo compile these packages anew; answers of how many it knew something.
fn forget(profile: &Path, packages: &[String]) -> anyhow::Result<usize> {
    let folder = profile.join(FRESH);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries.with_context(|| format!("cannot read {}", folder.display()))?,
    };
    let mut forgotten = 0;
    for entry in entries {
        let path = entry?.path();
        if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| is_of(name, packages)) {
            fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            forgotten += 1;
        }
    }
    Ok(forgotten)
}

/// Cargo's folders are named after the package and a hash.
fn is_of(folder: &str, packages: &[String]) -> bool {
    folder.rsplit_once('-').is_some_and(|(name, _)| packages.iter().any(|package| package == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDERS: [&str; 4] = [
        "web-0123456789abcdef",
        "web-fedcba9876543210",
        "webpki-0123456789abcdef",
        "web-sys-0123456789abcdef",
    ];

    #[test]
    fn packages_of_others_stay() {
        let target = tempfile::tempdir().unwrap();
        for folder in FOLDERS {
            fs::create_dir_all(target.path().join(FRESH).join(folder)).unwrap();
        }
        assert_eq!(forget(target.path(), &["web".to_owned(), "store".to_owned()]).unwrap(), 2);
        let left = FOLDERS.map(|folder| target.path().join(FRESH).join(folder).exists());
        assert_eq!(left, [false, false, true, true]);
        assert_eq!(
            forget(&target.path().join("release"), &["web".to_owned()]).unwrap(),
            0,
            "nothing is compiled"
        );
    }

    #[test]
    fn a_target_of_another_checkout_is_taken_over_once() {
        let folder = tempfile::tempdir().unwrap();
        let repo = Path::new(COMPILED_IN).parent().unwrap().to_owned();
        let layout = Layout { repo, cache: folder.path().join("cache"), data: folder.path().join("data") };
        let known = layout.target().join("debug").join(FRESH).join("store-0123456789abcdef");
        for is_known in [false, true] {
            fs::create_dir_all(&known).unwrap();
            take_over_target(&layout).unwrap();
            assert_eq!(known.exists(), is_known);
        }
    }
}

//! Sees to it that this program is that of the checkout in which it was started. Where checkouts share a target folder, as
//! in CI, cargo takes another one's for it: it goes by the age of files.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::{env, fs, io};

use anyhow::Context as _;

use crate::command;

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
    let forgotten = forget(profile, "xtask")?;
    anyhow::ensure!(
        forgotten > 0,
        "this is the xtask of {COMPILED_IN}; run `touch xtask/src/main.rs` and try again"
    );
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let error =
        command::bare_cargo().args(["run", "--quiet", "--package", "xtask", "--"]).args(arguments).exec();
    Err(error).context("cannot start cargo")
}

/// Makes cargo compile a package anew; answers how much it knew of it.
fn forget(profile: &Path, package: &str) -> anyhow::Result<usize> {
    let folder = profile.join(FRESH);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries.with_context(|| format!("cannot read {}", folder.display()))?,
    };
    let mut forgotten = 0;
    for entry in entries {
        let path = entry?.path();
        if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| is_of(name, package)) {
            fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            forgotten += 1;
        }
    }
    Ok(forgotten)
}

/// Cargo's folders are named after the package and a hash.
fn is_of(folder: &str, package: &str) -> bool {
    folder.rsplit_once('-').is_some_and(|(name, _)| name == package)
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
        assert_eq!(forget(target.path(), "web").unwrap(), 2);
        let left = FOLDERS.map(|folder| target.path().join(FRESH).join(folder).exists());
        assert_eq!(left, [false, false, true, true]);
        assert_eq!(forget(&target.path().join("release"), "web").unwrap(), 0, "nothing is compiled");
    }
}

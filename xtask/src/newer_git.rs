//! A newer git than Debian's, for the tests: users have both. Compiled once from the source in Debian's archive.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::Context;

use crate::command;
use crate::images::{Source, versions};
use crate::layout::Layout;
use crate::platform::compile;

/// Two programs out of a hundred; git's own tests and helpers in other languages are not needed.
const TARGETS: [&str; 2] = ["git", "git-remote-http"];
/// Nothing but curl and zlib beside the C library. It finds its parts from where it lies itself (`RUNTIME_PREFIX`), so
/// that it can be renamed into place.
const SETTINGS: [&str; 9] = [
    "CFLAGS=-O1",
    "NO_EXPAT=1",
    "NO_GETTEXT=1",
    "NO_OPENSSL=1",
    "NO_PERL=1",
    "NO_PYTHON=1",
    "NO_RUST=1",
    "NO_TCLTK=1",
    "RUNTIME_PREFIX=1",
];

/// Where it is once [`ensure`] has been there.
pub(crate) fn program(layout: &Layout) -> PathBuf {
    layout.parts().join(folder(&versions().git)).join("bin/git")
}

pub(crate) fn ensure(layout: &Layout) -> anyhow::Result<()> {
    let source = versions().git;
    let what = format!("git {} for the tests", source.version);
    compile::once(layout, &folder(&source), &what, |work, out, log| {
        let tarball = fetch(&source, work, log)?;
        let mut tar = Command::new("tar");
        tar.args(["--extract", "--no-same-owner", "--file"]).arg(&tarball).arg("--directory").arg(work);
        command::run(&mut tar, log)?;
        let tree = work.join(folder(&source));
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let mut make = Command::new("make");
        make.current_dir(&tree).arg(format!("--jobs={cores}")).args(SETTINGS).args(TARGETS);
        command::run(&mut make, log)?;
        install(&tree, out)
    })
}

fn folder(source: &Source) -> String {
    format!("git-{}", source.version)
}

/// The part of `make install` that two programs need.
fn install(tree: &Path, out: &Path) -> anyhow::Result<()> {
    let (bin, core) = (out.join("bin"), out.join("libexec/git-core"));
    for folder in [&bin, &core, &out.join("share/git-core/templates")] {
        fs::create_dir_all(folder)?;
    }
    for (program, folder) in TARGETS.into_iter().zip([&bin, &core]) {
        fs::copy(tree.join(program), folder.join(program))
            .with_context(|| format!("there is no {program}"))?;
    }
    symlink("git-remote-http", core.join("git-remote-https"))?;
    for name in ["git", "git-receive-pack", "git-upload-pack"] {
        symlink("../../bin/git", core.join(name))?;
    }
    Ok(())
}

/// The tarball, by apt's own means: it knows the way out of this machine and compares the checksum.
fn fetch(source: &Source, work: &Path, log: &Path) -> anyhow::Result<PathBuf> {
    let name = format!("git_{}.orig.tar.xz", source.version);
    let place = work.join(&name);
    let mut helper = Command::new("/usr/lib/apt/apt-helper");
    helper.arg("download-file").arg(format!("{}pool/main/g/git/{name}", archive(log)?));
    helper.arg(&place).arg(format!("SHA256:{}", source.sha256));
    command::run(&mut helper, log).with_context(|| {
        format!(
            "Debian's archive gives no {name} with the known checksum. It keeps only the newest: \
             set version and checksum of git in deploy/local/versions.json to those of Debian sid"
        )
    })?;
    Ok(place)
}

/// Where this machine gets Debian's packages from, with a slash at the end.
fn archive(log: &Path) -> anyhow::Result<String> {
    let known = || {
        let mut apt = Command::new("apt-get");
        apt.args(["indextargets", "--format", "$(REPO_URI)"]);
        let targets = command::output(apt.args(["Created-By: Packages", "Origin: Debian", "Label: Debian"]))?;
        anyhow::Ok(targets.lines().next().map(str::to_owned))
    };
    if let Some(archive) = known()? {
        return Ok(archive);
    }
    // It tells only of lists that it has fetched.
    command::run(Command::new("apt-get").arg("update"), log)?;
    known()?.context("apt knows no archive of Debian: name one in /etc/apt/sources.list")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_finds_its_parts_beside_itself() {
        let folder = tempfile::tempdir().unwrap();
        let (tree, out) = (folder.path().join("tree"), folder.path().join("out"));
        fs::create_dir(&tree).unwrap();
        assert!(install(&tree, &out).unwrap_err().to_string().contains("there is no git"));
        for program in TARGETS {
            fs::write(tree.join(program), program).unwrap();
        }
        let out = folder.path().join("again");
        install(&tree, &out).unwrap();
        let read = |path: &str| fs::read_to_string(out.join(path)).unwrap();
        assert_eq!(read("bin/git"), "git");
        assert_eq!(read("libexec/git-core/git-upload-pack"), "git");
        assert_eq!(read("libexec/git-core/git-remote-https"), "git-remote-http");
    }

    #[test]
    fn each_version_has_a_folder_of_its_own() {
        let layout = Layout { repo: "/r".into(), cache: "/c".into(), data: "/d".into() };
        let version = versions().git.version;
        assert_eq!(program(&layout), PathBuf::from(format!("/c/platform/git-{version}/bin/git")));
    }
}

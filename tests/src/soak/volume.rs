//! A small file system of its own for the repositories, so that it can be full without anything else being so.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

const BYTES: u64 = 512 << 20;

/// Unmounted when it is dropped.
#[derive(Debug)]
pub struct Volume {
    at: PathBuf,
}

/// A file with ext4 in it, through a loop device. It takes an administrator.
pub fn mount(image: &Path, at: &Path) -> Result<Volume> {
    std::fs::File::create(image)?.set_len(BYTES)?;
    run("mkfs.ext4", &["-q", "-F", "-m", "0", "-i", "4096", &image.to_string_lossy()])?;
    run("mount", &["-o", "loop", &image.to_string_lossy(), &at.to_string_lossy()])?;
    Ok(Volume { at: at.to_owned() })
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Nothing more can be done about it here; the folder's removal will fail and say so.
        run("umount", &["--lazy", &self.at.to_string_lossy()]).ok();
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output =
        Command::new(program).args(arguments).output().with_context(|| format!("running {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {}", arguments.join(" "), said.trim());
    Ok(())
}

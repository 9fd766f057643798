//! Slipway's own image and that of the BuildKit which runs in the cluster. Both are named by their content, so
//! what has not changed is not built again.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use sha2::{Digest, Sha256};

use super::{Image, build, find};
use crate::layout::Layout;
use crate::platform::compile;
use crate::progress::step;

/// Slipway's programs in an image, as they were compiled last.
pub(crate) fn slipwayd(layout: &Layout) -> anyhow::Result<Image> {
    let release = layout.target().join("release");
    let programs = compile::SLIPWAY.map(|program| release.join(program));
    ensure(layout, "slipwayd", &layout.repo.join("deploy/image/Dockerfile"), &programs)
}

/// BuildKit's programs in an image.
pub(crate) fn buildkit(layout: &Layout) -> anyhow::Result<Image> {
    let programs = ["buildkitd", "buildctl", "runc"].map(|program| layout.bin(program));
    ensure(layout, "buildkit", &layout.repo.join("deploy/image/buildkit.Dockerfile"), &programs)
}

/// The image of a Dockerfile and the programs it copies, built only when there is none of the same content.
fn ensure(layout: &Layout, name: &str, file: &Path, programs: &[PathBuf]) -> anyhow::Result<Image> {
    let repository = format!("slipway/{name}");
    let tag = content(file, programs)?;
    if let Some(image) = find(&repository, &tag)? {
        return Ok(image);
    }
    let log = layout.log(&format!("image-{name}"));
    step(&format!("make the image {repository}:{tag}"), Some(&log), || {
        let context = layout.data.join("images").join(name);
        fs::remove_dir_all(&context).ok();
        fs::create_dir_all(&context).with_context(|| format!("cannot create {}", context.display()))?;
        for program in programs {
            let target = context.join(program.file_name().context("a program has a name")?);
            // A link costs no space, but only works on one file system.
            fs::hard_link(program, &target).or_else(|_| fs::copy(program, &target).map(drop))?;
        }
        build(layout, &context, file, &repository, &[&tag], &log)
    })
}

/// Twelve hex digits that stand for the content of all these files.
fn content(file: &Path, programs: &[PathBuf]) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    for path in std::iter::once(file).chain(programs.iter().map(PathBuf::as_path)) {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        hash.update(bytes.len().to_be_bytes());
        hash.update(bytes);
    }
    Ok(hex::encode(&hash.finalize()[..6]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_more_than_the_sum_of_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let (a, ab, b, empty) = (path("1", "a"), path("2", "ab"), path("3", "b"), path("4", ""));
        let programs = [b];
        assert_eq!(content(&a, &programs).unwrap(), content(&a, &programs).unwrap());
        assert_ne!(content(&a, &programs).unwrap(), content(&ab, &[empty]).unwrap());
    }
}

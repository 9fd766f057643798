//! Images made on this machine: base images under their Docker Hub names, and Slipway's own. The node's BuildKit
//! makes them and pushes them to the node's registry.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;

use crate::layout::Layout;
use crate::platform::parts::deploy_file;
use crate::platform::{REGISTRY, RUN, compile, process};
use crate::progress::say;
use crate::{command, http};

pub(crate) mod base;
pub(crate) mod own;

/// Versions of what the base images hold, and of the git that tests have beside Debian's.
#[derive(Debug, Deserialize)]
pub(crate) struct Versions {
    pub debian: String,
    pub node: String,
    pub npm: String,
    pub git: Source,
}

/// A source package of Debian's archive.
#[derive(Debug, Deserialize)]
pub(crate) struct Source {
    pub version: String,
    pub sha256: String,
}

/// An image in the node's registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    /// `10.244.0.1:5000/slipway/slipwayd`
    pub name: String,
    pub digest: String,
}

impl Image {
    pub(crate) fn reference(&self) -> String {
        format!("{}@{}", self.name, self.digest)
    }
}

/// `cargo xtask image`
pub(crate) fn print_own(layout: &Layout) -> anyhow::Result<()> {
    anyhow::ensure!(
        process::running(layout, "buildkitd").is_some() && process::running(layout, "registry").is_some(),
        "images are made by the platform's BuildKit: run `cargo xtask up --platform-only` first"
    );
    compile::slipway(layout)?;
    say(&own::slipwayd(layout)?.reference());
    Ok(())
}

pub(crate) fn versions() -> Versions {
    serde_json::from_str(deploy_file!("versions.json")).expect("versions.json is checked by a test")
}

/// Builds a Dockerfile on a context folder and pushes the image under the given tags of one repository.
fn build(
    layout: &Layout,
    context: &Path,
    dockerfile: &Path,
    repository: &str,
    tags: &[&str],
    log: &Path,
) -> anyhow::Result<Image> {
    let name = format!("{REGISTRY}/{repository}");
    let names: Vec<String> = tags.iter().map(|tag| format!("{name}:{tag}")).collect();
    let metadata = layout.data.join("images/metadata.json");
    fs::create_dir_all(layout.data.join("images"))?;
    let folder = dockerfile.parent().context("a Dockerfile lies in a folder")?;
    let file = dockerfile.file_name().unwrap_or_default().to_string_lossy();
    let mut buildctl = Command::new(layout.bin("buildctl"));
    buildctl.args(["--addr", &format!("unix://{RUN}/buildkitd.sock"), "build", "--progress=plain"]);
    buildctl.args(["--frontend=dockerfile.v0", &format!("--opt=filename={file}")]);
    buildctl.arg(format!("--local=context={}", context.display()));
    buildctl.arg(format!("--local=dockerfile={}", folder.display()));
    // The list of names is quoted, since a comma also separates the exporter's fields.
    buildctl.arg(format!("--output=type=image,\"name={}\",push=true,oci-mediatypes=true", names.join(",")));
    buildctl.arg("--metadata-file").arg(&metadata);
    command::run(&mut buildctl, log)?;
    let metadata: Value = serde_json::from_slice(&fs::read(&metadata)?)?;
    let digest = metadata["containerimage.digest"].as_str().context("BuildKit named no digest")?;
    Ok(Image { name, digest: digest.to_owned() })
}

/// An image of the node's registry, if it is there.
fn find(repository: &str, tag: &str) -> anyhow::Result<Option<Image>> {
    let name = format!("{REGISTRY}/{repository}");
    let url = format!("http://{REGISTRY}/v2/{repository}/manifests/{tag}");
    Ok(http::manifest_digest(&url)?.map(|digest| Image { name, digest }))
}

/// The files of deploy/local/images/NAME, in the repository.
fn dockerfile(layout: &Layout, name: &str) -> std::path::PathBuf {
    layout.repo.join("deploy/local/images").join(name).join("Dockerfile")
}

/// The whole set that does not depend on Slipway's code.
pub(crate) fn platform(layout: &Layout) -> anyhow::Result<()> {
    base::ensure(layout)?;
    own::buildkit(layout).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_whole() {
        let versions = versions();
        assert!(
            versions.node.split('.').count() == 3 && versions.npm.split('.').count() == 3,
            "{versions:?}"
        );
        assert!(
            versions.git.version.split('.').count() == 3 && versions.git.sha256.len() == 64,
            "{versions:?}"
        );
    }
}

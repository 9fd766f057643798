//! The image of the process that holds a pod's namespaces: a few lines of C in an image of one layer, made here so
//! that a pod can start before there is a registry.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::parts::deploy_file;
use super::{PAUSE, RUN};
use crate::command;
use crate::layout::Layout;

const SOURCE: &str = deploy_file!("pause/pause.c");

/// Hands the image to containerd, unless it is there.
pub(crate) fn ensure(layout: &Layout) -> anyhow::Result<()> {
    let ctr = || {
        let mut ctr = Command::new(layout.bin("ctr"));
        ctr.args(["--address", &format!("{RUN}/containerd.sock"), "--namespace", "k8s.io", "images"]);
        ctr
    };
    if command::output(ctr().args(["list", "--quiet"]))?.lines().any(|image| image == PAUSE) {
        return Ok(());
    }
    let folder = layout.data.join("images/pause");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let (source, program, image) = (folder.join("pause.c"), folder.join("pause"), folder.join("image.tar"));
    fs::write(&source, SOURCE)?;
    command::output(Command::new("gcc").args(["-Os", "-static", "-s", "-o"]).arg(&program).arg(&source))?;
    write_image(&image, &fs::read(&program)?)?;
    command::output(ctr().arg("import").arg(&image)).map(drop)
}

/// Writes an OCI layout as a tar: one uncompressed layer, configuration, manifest, index.
fn write_image(path: &Path, program: &[u8]) -> anyhow::Result<()> {
    let mut layer = tar::Builder::new(Vec::new());
    append(&mut layer, "pause", program, 0o755)?;
    let layer = layer.into_inner()?;
    let config = json!({
        "architecture": go_architecture(),
        "os": "linux",
        "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
    })
    .to_string();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", config.as_bytes()),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
    })
    .to_string();
    let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", manifest.as_bytes());
    entry["annotations"] = json!({"io.containerd.image.name": PAUSE});
    let index = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();

    let mut image =
        tar::Builder::new(File::create(path).with_context(|| format!("cannot write {}", path.display()))?);
    append(&mut image, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644)?;
    append(&mut image, "index.json", index.as_bytes(), 0o644)?;
    for blob in [config.as_bytes(), &layer, manifest.as_bytes()] {
        append(&mut image, &format!("blobs/{}", digest(blob).replace(':', "/")), blob, 0o644)?;
    }
    image.into_inner()?.sync_all().context("cannot write the image to disk")
}

fn append<W: std::io::Write>(
    to: &mut tar::Builder<W>,
    name: &str,
    bytes: &[u8],
    mode: u32,
) -> anyhow::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(mode);
    to.append_data(&mut header, name, bytes).with_context(|| format!("cannot add {name} to an image"))
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// This machine's architecture in the words of Go, which are those of images.
fn go_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn every_blob_is_named_by_its_digest_and_reached_from_the_index() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.tar");
        write_image(&path, b"a program").unwrap();
        let mut files = std::collections::BTreeMap::new();
        for entry in tar::Archive::new(File::open(&path).unwrap()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            files.insert(entry.path().unwrap().display().to_string(), bytes);
        }
        let blob = |digest: &Value| {
            let digest = digest.as_str().unwrap();
            let bytes = &files[&format!("blobs/{}", digest.replace(':', "/"))];
            assert_eq!(super::digest(bytes), digest);
            bytes
        };
        let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        let manifest: Value = serde_json::from_slice(blob(&index["manifests"][0]["digest"])).unwrap();
        let config: Value = serde_json::from_slice(blob(&manifest["config"]["digest"])).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
        blob(&manifest["layers"][0]["digest"]);
    }
}

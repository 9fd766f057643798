//! Everything that the registry has of an application: manifests, configs, attestations, and layers, unpacked.

use std::collections::BTreeSet;
use std::io::Read as _;

use anyhow::{Context as _, Result, ensure};
use flate2::read::MultiGzDecoder;
use reqwest::StatusCode;
use serde_json::Value;

use crate::platform::{self, Platform};

const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                         application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";
/// What every application of the tests is made on; its layers were there before any secret.
const BASE: (&str, &str) = ("library/node", "22-bookworm-slim");

/// A manifest or a blob, as it is when it is unpacked.
#[derive(Debug)]
pub struct Stored {
    pub digest: String,
    pub bytes: Vec<u8>,
}

/// Of the repository that `image` (`HOST/NAME@DIGEST`) is in: all that its tags and `image` itself lead to, but for the
/// layers of the base.
pub async fn stored(platform: &Platform, image: &str) -> Result<Vec<Stored>> {
    let (host, name) = image.split_once('/').context("an image without a host")?;
    let (name, digest) = name.split_once('@').context("an image without a digest")?;
    let base = manifest(platform, host, BASE.0, BASE.1).await?.context("the base is not in the registry")?;
    let mut known: BTreeSet<String> = children(platform, host, BASE.0, &base).await?.into_iter().collect();
    let url = format!("http://{host}/v2/{name}/tags/list");
    let tags = platform::json(platform.http.get(url).send().await?).await?;
    let tags = tags["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    let mut wanted: Vec<String> = tags.chain([digest.to_owned()]).collect();
    ensure!(wanted.len() > 1, "{name} has no tag");
    let mut all = Vec::new();
    while let Some(digest) = wanted.pop() {
        if !known.insert(digest.clone()) {
            continue;
        }
        let bytes = match manifest(platform, host, name, &digest).await? {
            Some(bytes) => {
                wanted.extend(digests(&serde_json::from_slice(&bytes)?));
                bytes
            }
            None => blob(platform, host, name, &digest).await?,
        };
        all.push(Stored { digest, bytes });
    }
    Ok(all)
}

/// What an index and the manifests in it name.
async fn children(platform: &Platform, host: &str, name: &str, manifest_bytes: &[u8]) -> Result<Vec<String>> {
    let mut all = digests(&serde_json::from_slice(manifest_bytes)?);
    for digest in all.clone() {
        if let Some(bytes) = manifest(platform, host, name, &digest).await? {
            all.extend(digests(&serde_json::from_slice(&bytes)?));
        }
    }
    Ok(all)
}

fn digests(manifest: &Value) -> Vec<String> {
    let lists = ["manifests", "layers"].map(|key| manifest[key].as_array().cloned().unwrap_or_default());
    let descriptors = lists.into_iter().flatten().chain([manifest["config"].clone()]);
    descriptors.filter_map(|it| it["digest"].as_str().map(str::to_owned)).collect()
}

/// `None`: it is a blob.
async fn manifest(platform: &Platform, host: &str, name: &str, reference: &str) -> Result<Option<Vec<u8>>> {
    let url = format!("http://{host}/v2/{name}/manifests/{reference}");
    let answer = platform.http.get(url).header("accept", MANIFESTS).send().await?;
    if answer.status() == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    Ok(Some(answer.error_for_status()?.bytes().await?.to_vec()))
}

async fn blob(platform: &Platform, host: &str, name: &str, digest: &str) -> Result<Vec<u8>> {
    let url = format!("http://{host}/v2/{name}/blobs/{digest}");
    let bytes = platform.http.get(url).send().await?.error_for_status()?.bytes().await?;
    ensure!(
        !bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]),
        "{digest} is packed with zstd, which is not looked into"
    );
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes.to_vec());
    }
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(&bytes[..])
        .read_to_end(&mut unpacked)
        .with_context(|| format!("unpacking {digest}"))?;
    Ok(unpacked)
}

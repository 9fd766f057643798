//! What an image consists of.

use oci_client::manifest::{OciDescriptor, OciImageManifest};

/// A layer or the config of an image, as the registry keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    pub digest: String,
    pub size_bytes: u64,
}

/// In the manifest's order, the config last.
pub(crate) fn of(manifest: &OciImageManifest) -> Vec<Layer> {
    let all = manifest.layers.iter().chain([&manifest.config]);
    let layer = |it: &OciDescriptor| Layer {
        digest: it.digest.clone(),
        size_bytes: u64::try_from(it.size).unwrap_or(0),
    };
    all.map(layer).collect()
}

//! What a registry knows of an image.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use oci_client::client::{ClientConfig, ClientProtocol, current_platform_resolver};
use oci_client::manifest::{OciDescriptor, OciImageIndex, OciImageManifest, OciManifest};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use secrecy::ExposeSecret;
use serde::Deserialize;

use crate::error::classify;
use crate::layers::{self, Layer};
use crate::provenance::{self, Provenance};
use crate::{Credentials, RegistryError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Configs and attestations have some kilobytes.
const BLOB_MAX: i64 = 8 << 20;

/// Registries that are asked with the same credentials.
pub struct Registry {
    pub(crate) client: Client,
    pub(crate) credentials: Credentials,
    /// For what `client` cannot ask.
    pub(crate) http: reqwest::Client,
    pub(crate) insecure_hosts: Vec<String>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("credentials", &self.credentials).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Of the manifest that nodes run. It stays the same as long as the image does; an index holds provenance, which
    /// is another one for each build.
    pub digest: String,
    /// Of the index over it, when that was asked for.
    pub index_digest: Option<String>,
    /// Of all layers and the config, as they are stored.
    pub size_bytes: u64,
    pub layers: Vec<Layer>,
    /// The lowest TCP port that the image exposes.
    pub port: Option<u16>,
    /// What is attested of it, when an index says so.
    pub provenance: Option<Provenance>,
}

#[derive(Deserialize)]
struct ImageConfig {
    config: Option<ProcessConfig>,
}

#[derive(Deserialize)]
struct ProcessConfig {
    #[serde(rename = "ExposedPorts")]
    exposed_ports: Option<BTreeMap<String, serde_json::Value>>,
}

/// `insecure_hosts` (`HOST` or `HOST:PORT`) are asked over http, all others over https. Needs the process's default
/// rustls provider.
pub fn connect(credentials: Credentials, insecure_hosts: Vec<String>) -> anyhow::Result<Registry> {
    let client = Client::try_from(ClientConfig {
        protocol: ClientProtocol::HttpsExcept(insecure_hosts.clone()),
        connect_timeout: Some(CONNECT_TIMEOUT),
        read_timeout: Some(READ_TIMEOUT),
        ..ClientConfig::default()
    })?;
    let http =
        reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT).build()?;
    Ok(Registry { client, credentials, http, insecure_hosts })
}

/// Whether the registry has `image`, a `HOST/NAME@DIGEST` or `HOST/NAME:TAG`.
pub async fn exists(registry: &Registry, image: &str) -> Result<bool, RegistryError> {
    let (reference, auth) = resolve(registry, image)?;
    match registry
        .client
        .fetch_manifest_digest(&reference, &auth)
        .await
        .map_err(|error| classify(image, error))
    {
        Ok(_) => Ok(true),
        Err(RegistryError::NotFound(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Fetches the manifest and config of `image`, and its provenance when it has one. Asked by digest, their content is
/// checked against it.
pub async fn inspect(registry: &Registry, image: &str) -> Result<Image, RegistryError> {
    let (reference, auth) = resolve(registry, image)?;
    let pulled = registry.client.pull_manifest(&reference, &auth).await;
    let (manifest, digest) = pulled.map_err(|error| classify(image, error))?;
    let index = match manifest {
        OciManifest::Image(manifest) => return about(registry, &reference, digest, &manifest).await,
        OciManifest::ImageIndex(index) => index,
    };
    let child = child(&index).ok_or_else(|| {
        RegistryError::Invalid(format!("{image} holds no image for this machine's platform"))
    })?;
    let inspecting = async {
        let manifest = image_manifest(registry, &auth, &reference, &child).await?;
        about(registry, &reference, child.clone(), &manifest).await
    };
    // Side by side: a build waits for both.
    let attested = provenance::fetch(registry, &auth, &reference, &index, &child);
    let (inspected, provenance) = tokio::try_join!(inspecting, attested)?;
    Ok(Image { index_digest: Some(digest), provenance, ..inspected })
}

/// The one image of the index, or the one for this platform. What is attested stands beside it as another entry.
fn child(index: &OciImageIndex) -> Option<String> {
    let mut images = index.manifests.iter().filter(|entry| !provenance::is_attestation(entry));
    match (images.next(), images.next()) {
        (Some(only), None) => Some(only.digest.clone()),
        _ => current_platform_resolver(&index.manifests),
    }
}

/// One manifest of an index.
pub(crate) async fn image_manifest(
    registry: &Registry,
    auth: &RegistryAuth,
    image: &Reference,
    digest: &str,
) -> Result<OciImageManifest, RegistryError> {
    let reference = image.clone_with_digest(digest.to_owned());
    let pulled = registry.client.pull_manifest(&reference, auth).await;
    match pulled.map_err(|error| classify(&reference.to_string(), error))?.0 {
        OciManifest::Image(manifest) => Ok(manifest),
        OciManifest::ImageIndex(_) => {
            Err(RegistryError::Invalid(format!("{reference} is an index inside of an index")))
        }
    }
}

async fn about(
    registry: &Registry,
    image: &Reference,
    digest: String,
    manifest: &OciImageManifest,
) -> Result<Image, RegistryError> {
    let config = blob(registry, image, &manifest.config).await?;
    let config: ImageConfig = serde_json::from_slice(&config)
        .map_err(|error| RegistryError::Invalid(format!("the config of {image} cannot be read: {error}")))?;
    let layers = layers::of(manifest);
    let (size_bytes, port) = (layers.iter().map(|it| it.size_bytes).sum(), exposed_port(&config));
    Ok(Image { digest, index_digest: None, size_bytes, layers, port, provenance: None })
}

/// A small blob, checked against its digest.
pub(crate) async fn blob(
    registry: &Registry,
    image: &Reference,
    descriptor: &OciDescriptor,
) -> Result<Vec<u8>, RegistryError> {
    let (digest, size) = (&descriptor.digest, descriptor.size);
    if size > BLOB_MAX {
        let message = format!("{digest} of {image} has {size} bytes; it should be small");
        return Err(RegistryError::Invalid(message));
    }
    let mut bytes = Vec::new();
    let pulled = registry.client.pull_blob(image, descriptor, &mut bytes).await;
    pulled.map_err(|error| classify(&image.to_string(), error))?;
    Ok(bytes)
}

pub(crate) fn resolve(registry: &Registry, image: &str) -> Result<(Reference, RegistryAuth), RegistryError> {
    let reference: Reference = image
        .parse()
        .map_err(|error| RegistryError::Invalid(format!("{image:?} is not the name of an image: {error}")))?;
    let auth = match registry.credentials.login(reference.registry()) {
        Some((user, secret)) => RegistryAuth::Basic(user.clone(), secret.expose_secret().to_owned()),
        None => RegistryAuth::Anonymous,
    };
    Ok((reference, auth))
}

fn exposed_port(config: &ImageConfig) -> Option<u16> {
    let ports = config.config.as_ref()?.exposed_ports.as_ref()?;
    ports.keys().filter_map(|port| port.strip_suffix("/tcp").unwrap_or(port).parse().ok()).min()
}

#[cfg(test)]
mod tests;

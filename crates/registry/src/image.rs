//! What a registry knows of an image.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use secrecy::ExposeSecret;
use serde::Deserialize;

use crate::error::classify;
use crate::{Credentials, RegistryError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Registries that are asked with the same credentials.
pub struct Registry {
    client: Client,
    credentials: Credentials,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("credentials", &self.credentials).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pub digest: String,
    /// Of all layers and the config, as they are stored.
    pub size_bytes: u64,
    /// The lowest TCP port that the image exposes.
    pub port: Option<u16>,
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
        protocol: ClientProtocol::HttpsExcept(insecure_hosts),
        connect_timeout: Some(CONNECT_TIMEOUT),
        read_timeout: Some(READ_TIMEOUT),
        ..ClientConfig::default()
    })?;
    Ok(Registry { client, credentials })
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

/// Fetches the manifest and config of `image`. Asked by digest, their content is checked against it.
pub async fn inspect(registry: &Registry, image: &str) -> Result<Image, RegistryError> {
    let (reference, auth) = resolve(registry, image)?;
    let pulled = registry.client.pull_manifest_and_config(&reference, &auth).await;
    let (manifest, digest, config) = pulled.map_err(|error| classify(image, error))?;
    let config: ImageConfig = serde_json::from_str(&config)
        .map_err(|error| RegistryError::Invalid(format!("the config of {image} cannot be read: {error}")))?;
    let sizes =
        manifest.layers.iter().chain([&manifest.config]).map(|it| u64::try_from(it.size).unwrap_or(0));
    Ok(Image { digest, size_bytes: sizes.sum(), port: exposed_port(&config) })
}

fn resolve(registry: &Registry, image: &str) -> Result<(Reference, RegistryAuth), RegistryError> {
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

//! Reading what an image consists of: the bytes of its layers.

use std::io;

use bytes::Bytes;
use futures::stream::BoxStream;

use crate::RegistryError;
use crate::error::classify;
use crate::image::{Registry, image_manifest, resolve};
use crate::layers::{self, Layer};

/// The layers of `image`, a `HOST/NAME@DIGEST` of an image and no index, the lowest first and without its config.
pub async fn layers(registry: &Registry, image: &str) -> Result<Vec<Layer>, RegistryError> {
    let (reference, auth) = resolve(registry, image)?;
    let digest = reference.digest().ok_or_else(|| {
        RegistryError::Invalid(format!("{image} is read by its digest only: a tag may be moved meanwhile"))
    })?;
    let manifest = image_manifest(registry, &auth, &reference, digest).await?;
    let mut layers = layers::of(&manifest);
    layers.pop();
    Ok(layers)
}

/// The bytes of a layer of `image` as they come. When they are not those of the digest, the last item is an error.
pub async fn read(
    registry: &Registry,
    image: &str,
    digest: &str,
) -> Result<BoxStream<'static, io::Result<Bytes>>, RegistryError> {
    let (reference, auth) = resolve(registry, image)?;
    registry.client.store_auth_if_needed(reference.resolve_registry(), &auth).await;
    let pulled = registry.client.pull_blob_stream(&reference, digest).await;
    Ok(pulled.map_err(|error| classify(&format!("{digest} of {image}"), error))?.stream)
}

#[cfg(test)]
mod tests;

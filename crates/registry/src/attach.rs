//! Documents that are attached to images in the registry: manifests of their own that name the image as their subject
//! (OCI 1.1). Registries that do not find them by that are told by a list under a tag made of the image's digest.

use bytes::Bytes;
use oci_client::Reference;
use oci_client::manifest::{IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE};
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::RegistryError;
use crate::error::classify;
use crate::image::{Registry, resolve};
use crate::remove::{self, Removal, ask, refusal, shown};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const EMPTY_MEDIA_TYPE: &str = "application/vnd.oci.empty.v1+json";
const EMPTY: &[u8] = b"{}";
/// By this a registry says that it finds the manifest by its subject.
const KNOWS_SUBJECTS: &str = "oci-subject";

#[derive(Clone, Debug)]
pub struct Attachment<'a> {
    /// Of the document, and of the manifest that holds it.
    pub media_type: &'a str,
    pub content: Bytes,
    /// RFC 3339. The same attachment is the same manifest, however often it is attached.
    pub created: &'a str,
}

/// Attaches the document to `image`, a `HOST/NAME@DIGEST`; answers the digest of the manifest that holds it.
pub async fn attach(
    registry: &Registry,
    image: &str,
    attachment: Attachment<'_>,
) -> Result<String, RegistryError> {
    let (reference, digest) = by_digest(registry, image).await?;
    let fault = |error| classify(image, error);
    let (subject, _) =
        manifest(registry, &reference, &[OCI_IMAGE_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE]).await?;
    let subject_type = serde_json::from_slice::<Value>(&subject).unwrap_or_default()["mediaType"].clone();
    let subject_type = subject_type.as_str().unwrap_or(OCI_IMAGE_MEDIA_TYPE);
    let (content, created) = (attachment.content, attachment.created);
    let held = descriptor(attachment.media_type, &content);
    let empty = descriptor(EMPTY_MEDIA_TYPE, EMPTY);
    for (bytes, described) in [(Bytes::from_static(EMPTY), &empty), (content, &held)] {
        let digest = described["digest"].as_str().unwrap_or_default();
        registry.client.push_blob(&reference, bytes, digest).await.map_err(fault)?;
    }
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_IMAGE_MEDIA_TYPE, "artifactType": attachment.media_type,
        "config": empty, "layers": [held],
        "subject": {"mediaType": subject_type, "digest": digest, "size": subject.len()},
        "annotations": {"org.opencontainers.image.created": created},
    });
    let bytes = Bytes::from(manifest.to_string());
    let mut entry = descriptor(OCI_IMAGE_MEDIA_TYPE, &bytes);
    entry["artifactType"] = json!(attachment.media_type);
    let attached = entry["digest"].as_str().unwrap_or_default().to_owned();
    if !put(registry, &reference, &attached, OCI_IMAGE_MEDIA_TYPE, &bytes).await? {
        let mut list = list(registry, &reference, &digest).await?.map(|(list, _)| list).unwrap_or_default();
        if !list.iter().any(|it| it["digest"] == attached.as_str()) {
            list.push(entry);
            put_list(registry, &reference, &digest, &list).await?;
        }
    }
    Ok(attached)
}

/// Removes the documents of this type that are attached to `image`. What else is attached to it stays.
pub async fn detach(registry: &Registry, image: &str, media_type: &str) -> Result<Removal, RegistryError> {
    let (reference, digest) = by_digest(registry, image).await?;
    let is_ours = |kind: Option<&str>| kind == Some(media_type);
    let found = registry.client.pull_referrers(&reference, Some(media_type)).await;
    let found = match found.map_err(|error| classify(image, error)) {
        Ok(found) => found.manifests,
        Err(error @ RegistryError::Unavailable(_)) => return Err(error),
        // One that does not know the question has an answer under the tag, or none.
        Err(_) => Vec::new(),
    };
    for entry in found.iter().filter(|it| is_ours(it.artifact_type.as_deref())) {
        if remove::delete(registry, &reference, &entry.digest).await? == Removal::NotAllowed {
            return Ok(Removal::NotAllowed);
        }
    }
    let Some((list, list_digest)) = list(registry, &reference, &digest).await? else {
        return Ok(Removal::Gone);
    };
    let count = list.len();
    let others: Vec<Value> = list.into_iter().filter(|it| !is_ours(it["artifactType"].as_str())).collect();
    if others.is_empty() {
        return remove::delete(registry, &reference, &list_digest).await;
    }
    if others.len() < count {
        put_list(registry, &reference, &digest, &others).await?;
    }
    Ok(Removal::Gone)
}

async fn by_digest(registry: &Registry, image: &str) -> Result<(Reference, String), RegistryError> {
    let (reference, auth) = resolve(registry, image)?;
    let digest = reference.digest().map(str::to_owned).ok_or_else(|| {
        RegistryError::Invalid(format!("documents are attached to digests, not to a tag as {image}"))
    })?;
    registry.client.store_auth_if_needed(reference.resolve_registry(), &auth).await;
    Ok((reference, digest))
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(bytes)));
    json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
}

/// Its bytes and its digest.
async fn manifest(
    registry: &Registry,
    image: &Reference,
    accepted: &[&str],
) -> Result<(Bytes, String), RegistryError> {
    let (_, auth) = resolve(registry, &image.to_string())?;
    let pulled = registry.client.pull_manifest_raw(image, &auth, accepted).await;
    pulled.map_err(|error| classify(&image.to_string(), error))
}

/// `sha256-1234..`
fn tagged(image: &Reference, digest: &str) -> Reference {
    let tag = digest.replace(':', "-");
    Reference::with_tag(image.registry().to_owned(), image.repository().to_owned(), tag)
}

/// What is in the list of the image, and the list's own digest. `None`: there is none.
async fn list(
    registry: &Registry,
    image: &Reference,
    digest: &str,
) -> Result<Option<(Vec<Value>, String)>, RegistryError> {
    let reference = tagged(image, digest);
    let (bytes, digest) = match manifest(registry, &reference, &[INDEX]).await {
        Ok(found) => found,
        Err(RegistryError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut index: Value = serde_json::from_slice(&bytes)
        .map_err(|error| RegistryError::Invalid(format!("{reference} cannot be read: {error}")))?;
    let Value::Array(entries) = index["manifests"].take() else {
        let why = format!("{reference} is no list of what is attached to an image");
        return Err(RegistryError::Invalid(why));
    };
    Ok(Some((entries, digest)))
}

async fn put_list(
    registry: &Registry,
    image: &Reference,
    digest: &str,
    entries: &[Value],
) -> Result<(), RegistryError> {
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
    let tag = digest.replace(':', "-");
    put(registry, image, &tag, INDEX, &Bytes::from(index.to_string())).await.map(drop)
}

/// Answers whether the registry finds it by its subject.
async fn put(
    registry: &Registry,
    image: &Reference,
    name: &str,
    media_type: &str,
    manifest: &Bytes,
) -> Result<bool, RegistryError> {
    let request = |url: &str| registry.http.put(url).header(CONTENT_TYPE, media_type).body(manifest.clone());
    let response = ask(registry, image, name, request).await?;
    let status = response.status();
    if status == StatusCode::CREATED || status == StatusCode::OK {
        return Ok(response.headers().contains_key(KNOWS_SUBJECTS));
    }
    let what = format!("attaching a document to {}/{}", image.resolve_registry(), image.repository());
    Err(refusal(&what, status, &shown(response).await))
}

#[cfg(test)]
mod tests;

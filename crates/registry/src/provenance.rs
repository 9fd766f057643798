//! What is attested of an image: an entry of its index leads to a manifest, whose layer is an in-toto statement, whose
//! predicate says how the image was made and from what.

use oci_client::Reference;
use oci_client::manifest::{ImageIndexEntry, OciImageIndex};
use oci_client::secrets::RegistryAuth;
use serde::Deserialize;

use crate::RegistryError;
use crate::image::{Registry, blob, image_manifest};

const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";
const ATTESTATION: &str = "attestation-manifest";
const PREDICATE_TYPE: &str = "in-toto.io/predicate-type";
/// The format whose fields are read here. Its minor revisions only add some.
const SLSA_V1: &str = "https://slsa.dev/provenance/v1";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// The predicate of type `https://slsa.dev/provenance/v1`, whole.
    pub predicate: serde_json::Value,
    /// The images that it began from.
    pub bases: Vec<Base>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Base {
    /// As people write it: `node:24` or `ghcr.io/ada/tool:1`.
    pub name: String,
    pub digest: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    predicate_type: String,
    subject: Vec<Subject>,
    predicate: serde_json::Value,
}

#[derive(Deserialize)]
struct Subject {
    digest: Digests,
}

#[derive(Default, Deserialize)]
struct Digests {
    sha256: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Predicate {
    build_definition: BuildDefinition,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct BuildDefinition {
    resolved_dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    uri: String,
    #[serde(default)]
    digest: Digests,
}

pub(crate) fn is_attestation(entry: &ImageIndexEntry) -> bool {
    annotation(entry, REFERENCE_TYPE) == Some(ATTESTATION)
}

fn annotation<'a>(entry: &'a ImageIndexEntry, key: &str) -> Option<&'a str> {
    Some(entry.annotations.as_ref()?.get(key)?.as_str())
}

/// What the index holds about its manifest `child`.
pub(crate) async fn fetch(
    registry: &Registry,
    auth: &RegistryAuth,
    image: &Reference,
    index: &OciImageIndex,
    child: &str,
) -> Result<Option<Provenance>, RegistryError> {
    let mut entries = index.manifests.iter().filter(|entry| is_attestation(entry));
    let Some(entry) = entries.find(|entry| annotation(entry, REFERENCE_DIGEST) == Some(child)) else {
        return Ok(None);
    };
    let manifest = image_manifest(registry, auth, image, &entry.digest).await?;
    let is_provenance = |annotations: &std::collections::BTreeMap<String, String>| {
        annotations.get(PREDICATE_TYPE).is_some_and(|it| it == SLSA_V1)
    };
    let Some(layer) = manifest.layers.iter().find(|it| it.annotations.as_ref().is_some_and(is_provenance))
    else {
        return Ok(None);
    };
    read(&blob(registry, image, layer).await?, child).map(Some)
}

/// The statement must be about `child` and none other.
fn read(statement: &[u8], child: &str) -> Result<Provenance, RegistryError> {
    let invalid = |why: String| RegistryError::Invalid(format!("the provenance of {child}: {why}"));
    let statement: Statement =
        serde_json::from_slice(statement).map_err(|error| invalid(error.to_string()))?;
    if statement.predicate_type != SLSA_V1 {
        return Err(invalid(format!("its type is {:?}, not {SLSA_V1}", statement.predicate_type)));
    }
    let is_child = |subject: &Subject| {
        subject.digest.sha256.as_deref().is_some_and(|hex| child.strip_prefix("sha256:") == Some(hex))
    };
    if statement.subject.is_empty() || !statement.subject.iter().all(is_child) {
        return Err(invalid("it is about another image".to_owned()));
    }
    let predicate: Predicate =
        Deserialize::deserialize(&statement.predicate).map_err(|error| invalid(error.to_string()))?;
    let mut bases: Vec<Base> =
        predicate.build_definition.resolved_dependencies.iter().filter_map(base).collect();
    bases.sort();
    bases.dedup();
    Ok(Provenance { predicate: statement.predicate, bases })
}

/// `None`: it is no image, but a file or a repository that the Dockerfile adds.
fn base(dependency: &Dependency) -> Option<Base> {
    let purl = dependency.uri.strip_prefix("pkg:docker/")?;
    let (name, qualifiers) = purl.split_once('?').unwrap_or((purl, ""));
    if qualifiers.split('&').any(|it| it.starts_with("ref_type=")) {
        return None;
    }
    let name = match name.rsplit_once('@') {
        Some((name, version)) => format!("{}:{}", decode(name), decode(version)),
        None => decode(name),
    };
    Some(Base { name, digest: format!("sha256:{}", dependency.digest.sha256.as_ref()?) })
}

/// What is written as `%3A`.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let escaped = after.split_at_checked(2).filter(|_| *byte == b'%').and_then(|(hex, after)| {
            let hex = std::str::from_utf8(hex).ok()?;
            Some((u8::from_str_radix(hex, 16).ok()?, after))
        });
        let (byte, after) = escaped.unwrap_or((*byte, after));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests;

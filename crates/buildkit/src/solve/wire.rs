//! What BuildKit is asked for and what it answers, as its protocol has it. Pure.

use std::collections::HashMap;

use bollard_buildkit_proto::moby::buildkit::v1 as proto;
use serde::Deserialize;

use super::{CacheMode, Push, SolveRequest, Solved};
use crate::SolveError;

const DIGEST: &str = "containerimage.digest";
const CACHE_MANIFEST: &str = "cache.manifest";
const REGISTRY: &str = "registry";
/// A cache whose layers are the image's has nothing of its own to push, so both are packed alike.
const LAYERS: [(&str, &str); 3] = [
    ("oci-mediatypes", "true"),
    // Level 1 takes half the time of the default for a few percent more bytes.
    ("compression", "gzip"),
    ("compression-level", "1"),
];

pub(super) fn request(request: SolveRequest) -> proto::SolveRequest {
    let mut frontend_attrs: HashMap<_, _> = request.frontend_attrs.into_iter().collect();
    let mut cache = proto::CacheOptions::default();
    if let Some(reference) = request.import {
        // The frontend solves the stages, and asks by itself for what it is told here.
        let told = serde_json::json!([{"Type": REGISTRY, "Attrs": {"ref": &reference}}]);
        frontend_attrs.insert("cache-imports".to_owned(), told.to_string());
        cache.imports.push(entry([("ref", reference.as_str())]));
    }
    let mut exporters = Vec::new();
    match &request.push {
        Push::Image(name) => {
            let attrs = attrs([("name", name.as_str()), ("push", "true")].into_iter().chain(LAYERS));
            exporters.push(proto::Exporter { r#type: "image".to_owned(), attrs });
        }
        Push::Cache(name, mode) => {
            let mode = match mode {
                CacheMode::Min => "min",
                CacheMode::Max => "max",
            };
            // As an image, and not as an index of blobs: only so a registry knows that it needs them.
            let own = [("ref", name.as_str()), ("mode", mode), ("image-manifest", "true")];
            cache.exports.push(entry(own.into_iter().chain(LAYERS)));
        }
    }
    proto::SolveRequest {
        r#ref: request.reference,
        session: request.session_id,
        frontend: "dockerfile.v0".to_owned(),
        frontend_attrs,
        frontend_inputs: request.inputs.into_iter().collect::<HashMap<_, _>>(),
        cache: Some(cache),
        exporters,
        // No record in BuildKit's history: it would hold on disk what the steps wrote, with the secrets they printed.
        internal: true,
        ..proto::SolveRequest::default()
    }
}

fn attrs<'a>(all: impl IntoIterator<Item = (&'a str, &'a str)>) -> HashMap<String, String> {
    all.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn entry<'a>(all: impl IntoIterator<Item = (&'a str, &'a str)>) -> proto::CacheOptionsEntry {
    proto::CacheOptionsEntry { r#type: REGISTRY.to_owned(), attrs: attrs(all) }
}

pub(super) fn solved(mut response: proto::SolveResponse, push: &Push) -> Result<Solved, SolveError> {
    let (what, said) = match push {
        Push::Image(_) => ("image", DIGEST),
        Push::Cache(..) => ("cache", CACHE_MANIFEST),
    };
    let value = response.exporter_response.remove(said);
    let digest = match push {
        Push::Image(_) => value,
        Push::Cache(..) => value.and_then(|it| manifest_digest(&it)),
    };
    let digest = digest.ok_or_else(|| SolveError::Other {
        message: format!("BuildKit pushed the {what} and did not say its digest ({said})"),
    })?;
    Ok(Solved { digest })
}

/// Of a descriptor in JSON.
fn manifest_digest(descriptor: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Descriptor {
        digest: String,
    }
    serde_json::from_str(descriptor).ok().map(|Descriptor { digest }| digest)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn asked(import: Option<&str>, push: Push) -> proto::SolveRequest {
        request(SolveRequest {
            reference: "r".to_owned(),
            session_id: "s".to_owned(),
            inputs: BTreeMap::new(),
            frontend_attrs: BTreeMap::new(),
            import: import.map(str::to_owned),
            push,
        })
    }

    fn answer(key: &str, value: &str) -> proto::SolveResponse {
        proto::SolveResponse { exporter_response: attrs([(key, value)]) }
    }

    #[test]
    fn an_image_is_pushed_and_a_cache_imported() {
        let image = Push::Image("r/demo:1".to_owned());
        let plain = asked(None, image.clone());
        assert!(plain.cache.unwrap().imports.is_empty() && plain.frontend_attrs.is_empty());
        let wired = asked(Some("r/demo@sha256:c"), image.clone());
        let (exporter, cache) = (&wired.exporters[0], wired.cache.unwrap());
        assert_eq!((exporter.r#type.as_str(), exporter.attrs["name"].as_str()), ("image", "r/demo:1"));
        assert!(cache.exports.is_empty());
        assert_eq!(
            (cache.imports[0].r#type.as_str(), &cache.imports[0].attrs["ref"][..]),
            ("registry", "r/demo@sha256:c")
        );
        let told: serde_json::Value = serde_json::from_str(&wired.frontend_attrs["cache-imports"]).unwrap();
        assert_eq!(told[0]["Attrs"]["ref"], "r/demo@sha256:c");
        assert_eq!(solved(answer(DIGEST, "sha256:1"), &image).unwrap().digest, "sha256:1");
        assert!(solved(answer(CACHE_MANIFEST, "{}"), &image).is_err());
    }

    #[test]
    fn a_cache_is_pushed_without_an_image() {
        let cache = Push::Cache("r/demo:cache".to_owned(), CacheMode::Min);
        let wired = asked(None, cache.clone());
        assert!(wired.exporters.is_empty());
        let exports = wired.cache.unwrap().exports;
        assert_eq!((&exports[0].attrs["mode"][..], &exports[0].attrs["ref"][..]), ("min", "r/demo:cache"));
        let said = r#"{"mediaType":"m","digest":"sha256:2","size":9}"#;
        assert_eq!(solved(answer(CACHE_MANIFEST, said), &cache).unwrap().digest, "sha256:2");
        let error = solved(answer(CACHE_MANIFEST, "?"), &cache).unwrap_err().to_string();
        assert!(error.contains("the cache and did not say its digest"), "{error}");
    }
}

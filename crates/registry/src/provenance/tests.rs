//! An index as BuildKit pushes it, with the image and its provenance in it.

use serde_json::{Value, json};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::{Credentials, connect, inspect};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn digest(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    use std::fmt::Write as _;
    sha2::Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// A blob or manifest that the registry has; answers its descriptor.
async fn hold(server: &MockServer, kind: &str, media: &str, content: &Value, annotations: Value) -> Value {
    let bytes = serde_json::to_vec(content).unwrap();
    let (digest, size) = (digest(&bytes), bytes.len());
    let response = ResponseTemplate::new(200).set_body_raw(bytes, media);
    Mock::given(path(format!("/v2/demo/{kind}/{digest}"))).respond_with(response).mount(server).await;
    json!({"mediaType": media, "digest": digest, "size": size, "annotations": annotations})
}

fn predicate() -> Value {
    json!({
        "buildDefinition": {
            "buildType": "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md",
            "resolvedDependencies": [
                {"uri": "pkg:docker/node@22-bookworm-slim?platform=linux%2Famd64", "digest": {"sha256": "ba5e"}},
                {"uri": "pkg:docker/registry.slipway%3A5000/tools/go@1.26?platform=linux%2Famd64", "digest": {"sha256": "90"}},
                {"uri": "pkg:docker/node@22-bookworm-slim?platform=linux%2Famd64", "digest": {"sha256": "ba5e"}},
                {"uri": "pkg:docker/alpine?digest=sha256:a1&platform=linux%2Famd64", "digest": {"sha256": "a1"}},
                {"uri": "https://example.org/tool.tar.gz", "digest": {"sha256": "f11e"}},
            ],
        },
        "runDetails": {"builder": {"id": "urn:slipway:builder"}},
    })
}

/// `about`: the digest that the provenance speaks of, when that is not the image's.
async fn image(server: &MockServer, about: Option<&str>) -> (String, String) {
    let config = hold(
        server,
        "blobs",
        "application/vnd.oci.image.config.v1+json",
        &json!({"config": {"ExposedPorts": {"3000/tcp": {}}}}),
        json!({}),
    )
    .await;
    let layer = json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": "sha256:1", "size": 1000});
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
    let image = hold(server, "manifests", MANIFEST, &manifest, json!({})).await;
    let child = image["digest"].as_str().unwrap().to_owned();
    let subject = about.unwrap_or(&child).trim_start_matches("sha256:");
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1", "predicateType": SLSA_V1,
        "subject": [{"name": "pkg:docker/demo@v1", "digest": {"sha256": subject}}], "predicate": predicate(),
    });
    let annotations = json!({PREDICATE_TYPE: SLSA_V1});
    let layer = hold(server, "blobs", "application/vnd.in-toto+json", &statement, annotations).await;
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
    let annotations = json!({REFERENCE_TYPE: ATTESTATION, REFERENCE_DIGEST: child});
    let mut attestation = hold(server, "manifests", MANIFEST, &manifest, annotations).await;
    attestation["platform"] = json!({"architecture": "unknown", "os": "unknown"});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [image, attestation]});
    let index = hold(server, "manifests", INDEX, &index, json!({})).await;
    Mock::given(path("/v2/")).respond_with(ResponseTemplate::new(200)).mount(server).await;
    (index["digest"].as_str().unwrap().to_owned(), child)
}

fn registry(server: &MockServer) -> (Registry, String) {
    // Fails when another test was first, which does as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let host = server.address().to_string();
    (connect(Credentials::default(), vec![host.clone()]).unwrap(), host)
}

#[tokio::test]
async fn an_index_leads_to_its_image_and_what_is_attested_of_it() {
    let server = MockServer::start().await;
    let (index, child) = image(&server, None).await;
    let (registry, host) = registry(&server);
    let image = inspect(&registry, &format!("{host}/demo@{index}")).await.unwrap();
    assert_eq!((&image.digest, image.index_digest.as_ref()), (&child, Some(&index)));
    assert_eq!(image.port, Some(3000));
    assert!(
        (1000..2000).contains(&image.size_bytes),
        "the image's own, not the index's: {}",
        image.size_bytes
    );
    let provenance = image.provenance.unwrap();
    assert_eq!(provenance.predicate, predicate());
    let bases: Vec<_> = provenance.bases.iter().map(|it| (it.name.as_str(), it.digest.as_str())).collect();
    assert_eq!(
        bases,
        [
            ("alpine", "sha256:a1"),
            ("node:22-bookworm-slim", "sha256:ba5e"),
            ("registry.slipway:5000/tools/go:1.26", "sha256:90"),
        ]
    );
}

#[tokio::test]
async fn provenance_of_another_image_is_refused() {
    let server = MockServer::start().await;
    let (index, _) = image(&server, Some("sha256:0ddba11")).await;
    let (registry, host) = registry(&server);
    let error = inspect(&registry, &format!("{host}/demo@{index}")).await.unwrap_err();
    assert!(matches!(&error, RegistryError::Invalid(why) if why.contains("about another image")), "{error}");
}

#[tokio::test]
async fn an_image_of_its_own_has_none() {
    let server = MockServer::start().await;
    let (_, child) = image(&server, None).await;
    let (registry, host) = registry(&server);
    let image = inspect(&registry, &format!("{host}/demo@{child}")).await.unwrap();
    assert_eq!((image.digest, image.index_digest, image.provenance), (child, None, None));
}

#[test]
fn escapes() {
    assert_eq!(decode("a%3A5000%2fb%"), "a:5000/b%");
    assert_eq!(decode("%zz%4"), "%zz%4");
}

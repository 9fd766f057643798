//! Layers as a registry serves them, and one that it serves wrongly.

use futures::StreamExt as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::{Credentials, connect};

fn sha256(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

async fn serve(server: &MockServer, at: String, body: Vec<u8>, media: &str) {
    let answer = ResponseTemplate::new(200).set_body_raw(body, media);
    let asked =
        Mock::given(method("GET")).and(path(at)).and(header("authorization", "Basic YWRhOnMzY3JldA=="));
    asked.respond_with(answer).with_priority(1).mount(server).await;
}

#[tokio::test]
async fn the_layers_of_an_image_and_their_bytes() {
    // Fails when another test was first, which does as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = MockServer::start().await;
    let refused = ResponseTemplate::new(401).insert_header("www-authenticate", "Basic realm=\"x\"");
    Mock::given(method("GET")).respond_with(refused).mount(&server).await;
    let (good, bad) = (sha256(b"good"), sha256(b"bad"));
    let layer = |digest: &str| json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": 4});
    let config =
        json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(b"{}"), "size": 2});
    let media = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": media, "config": config, "layers": [layer(&good), layer(&bad)]});
    let manifest = manifest.to_string().into_bytes();
    let digest = sha256(&manifest);
    serve(&server, format!("/v2/demo/manifests/{digest}"), manifest, media).await;
    serve(&server, format!("/v2/demo/blobs/{good}"), b"good".to_vec(), "application/octet-stream").await;
    serve(&server, format!("/v2/demo/blobs/{bad}"), b"evil".to_vec(), "application/octet-stream").await;

    let host = server.address().to_string();
    let login = format!(r#"{{"auths":{{"{host}":{{"username":"ada","password":"s3cret"}}}}}}"#);
    let registry = connect(Credentials::parse(login.as_bytes()).unwrap(), vec![host.clone()]).unwrap();
    let image = format!("{host}/demo@{digest}");
    let found = layers(&registry, &image).await.unwrap();
    let digests: Vec<&str> = found.iter().map(|it| it.digest.as_str()).collect();
    assert_eq!(digests, [good.as_str(), bad.as_str()]);

    let chunks: Vec<_> = read(&registry, &image, &good).await.unwrap().collect().await;
    let bytes: Vec<u8> = chunks.into_iter().flat_map(|chunk| chunk.unwrap().to_vec()).collect();
    assert_eq!(bytes, b"good");
    let mut chunks = read(&registry, &image, &bad).await.unwrap();
    assert_eq!(chunks.next().await.unwrap().unwrap(), b"evil".as_slice());
    assert!(chunks.next().await.unwrap().is_err());
    let error = layers(&registry, &format!("{host}/demo:v1")).await.unwrap_err();
    assert!(matches!(error, RegistryError::Invalid(_)), "{error}");
}

//! A registry that answers in every way one can.

use wiremock::matchers::{basic_auth, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

const CONFIG: &str = r#"{"os":"linux","config":{"ExposedPorts":{"9000/tcp":{},"53/udp":{},"8080/tcp":{}}}}"#;
const CONFIG_DIGEST: &str = "sha256:d0e28d0ec6aa9dc5b14a81e30644daeb4309e9da5bb7e8b115df82cba2873b61";

fn registry(credentials: Credentials, server: &MockServer) -> (Registry, String) {
    // Fails when another test was first, which does as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let host = server.address().to_string();
    (connect(credentials, vec![host.clone()]).unwrap(), host)
}

fn manifest() -> String {
    let media = "application/vnd.oci.image";
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{media}.manifest.v1+json","config":{{"mediaType":"{media}.config.v1+json","digest":"{CONFIG_DIGEST}","size":{}}},"layers":[{{"mediaType":"{media}.layer.v1.tar+gzip","digest":"sha256:{}","size":1000}},{{"mediaType":"{media}.layer.v1.tar+gzip","digest":"sha256:{}","size":200}}]}}"#,
        CONFIG.len(),
        "1".repeat(64),
        "2".repeat(64),
    )
}

async fn with_image() -> MockServer {
    let server = MockServer::start().await;
    let manifest =
        ResponseTemplate::new(200).set_body_raw(manifest(), "application/vnd.oci.image.manifest.v1+json");
    Mock::given(path("/v2/demo/manifests/v1")).respond_with(manifest).mount(&server).await;
    let config = ResponseTemplate::new(200).set_body_string(CONFIG);
    Mock::given(path(format!("/v2/demo/blobs/{CONFIG_DIGEST}"))).respond_with(config).mount(&server).await;
    server
}

async fn answering(response: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(path("/v2/")).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    Mock::given(path("/v2/demo/manifests/v1")).respond_with(response).mount(&server).await;
    server
}

#[tokio::test]
async fn an_image_has_a_digest_a_size_and_a_port() {
    let server = with_image().await;
    let (registry, host) = registry(Credentials::default(), &server);
    let image = inspect(&registry, &format!("{host}/demo:v1")).await.unwrap();
    assert_eq!((image.size_bytes, image.port), (1200 + CONFIG.len() as u64, Some(8080)));
    let layers: Vec<_> = image.layers.iter().map(|it| (it.digest.as_str(), it.size_bytes)).collect();
    let (first, second) = (format!("sha256:{}", "1".repeat(64)), format!("sha256:{}", "2".repeat(64)));
    assert_eq!(layers, [(&*first, 1000), (&*second, 200), (CONFIG_DIGEST, CONFIG.len() as u64)]);
    assert!(image.digest.starts_with("sha256:"));
    assert!(exists(&registry, &format!("{host}/demo:v1")).await.unwrap());
}

#[tokio::test]
async fn a_registry_that_serves_other_bytes_is_not_believed() {
    let server = MockServer::start().await;
    let wrong = format!("sha256:{}", "0".repeat(64));
    let response =
        ResponseTemplate::new(200).set_body_raw(manifest(), "application/vnd.oci.image.manifest.v1+json");
    Mock::given(path(format!("/v2/demo/manifests/{wrong}"))).respond_with(response).mount(&server).await;
    let (registry, host) = registry(Credentials::default(), &server);
    let error = inspect(&registry, &format!("{host}/demo@{wrong}")).await.unwrap_err();
    assert!(matches!(error, RegistryError::Invalid(_)), "{error}");
}

#[tokio::test]
async fn every_refusal_and_outage_has_its_kind() {
    let envelope = |code: &str| serde_json::json!({"errors": [{"code": code, "message": "m"}]});
    for (status, body, expected) in [
        (404, envelope("MANIFEST_UNKNOWN"), "has no"),
        (404, serde_json::Value::Null, "has no"),
        (401, envelope("UNAUTHORIZED"), "refuses"),
        (403, envelope("DENIED"), "refuses"),
        (403, serde_json::Value::Null, "refuses"),
        (429, envelope("TOOMANYREQUESTS"), "does not answer"),
        (429, serde_json::Value::Null, "does not answer"),
        (500, serde_json::Value::Null, "does not answer"),
        (503, envelope("UNAVAILABLE"), "does not answer"),
    ] {
        let server = answering(ResponseTemplate::new(status).set_body_json(&body)).await;
        let (registry, host) = registry(Credentials::default(), &server);
        let image = format!("{host}/demo:v1");
        let error = inspect(&registry, &image).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("the registry {expected}")), "{status} {body}: {error}");
        let found = exists(&registry, &image).await;
        assert_eq!(
            found.as_ref().ok(),
            (expected == "has no").then_some(&false),
            "{status} {body}: {found:?}"
        );
    }
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_unavailable() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let registry = connect(Credentials::default(), vec!["127.0.0.1:1".to_owned()]).unwrap();
    let error = inspect(&registry, "127.0.0.1:1/demo:v1").await.unwrap_err();
    assert!(matches!(error, RegistryError::Unavailable(_)), "{error}");
}

#[tokio::test]
async fn credentials_become_a_token() {
    let server = MockServer::start().await;
    let host = server.address().to_string();
    let challenge = format!(r#"Bearer realm="http://{host}/token",service="s""#);
    let unauthorized = ResponseTemplate::new(401).insert_header("www-authenticate", challenge.as_str());
    Mock::given(path("/v2/")).respond_with(unauthorized).mount(&server).await;
    Mock::given(path("/token"))
        .and(basic_auth("ada", "s3cret"))
        .and(query_param("scope", "repository:demo:pull"))
        .respond_with(ResponseTemplate::new(200).set_body_string(r#"{"token":"t0ken"}"#))
        .mount(&server)
        .await;
    Mock::given(method("HEAD"))
        .and(path("/v2/demo/manifests/v1"))
        .and(header("authorization", "Bearer t0ken"))
        .respond_with(
            ResponseTemplate::new(200)
                .insert_header("docker-content-digest", format!("sha256:{}", "a".repeat(64))),
        )
        .mount(&server)
        .await;
    let config = format!(r#"{{"auths":{{"{host}":{{"username":"ada","password":"s3cret"}}}}}}"#);
    let (registry, host) = registry(Credentials::parse(config.as_bytes()).unwrap(), &server);
    assert!(exists(&registry, &format!("{host}/demo:v1")).await.unwrap());
}

#[tokio::test]
async fn a_name_that_is_none_says_so() {
    let server = MockServer::start().await;
    let (registry, host) = registry(Credentials::default(), &server);
    let error = exists(&registry, &format!("{host}/Demo!:v1")).await.unwrap_err();
    assert!(matches!(error, RegistryError::Invalid(_)), "{error}");
}

#[test]
fn ports() {
    let port = |json: &str| exposed_port(&serde_json::from_str(json).unwrap());
    assert_eq!(port(r#"{"config":{"ExposedPorts":{"3000":{}}}}"#), Some(3000));
    assert_eq!(port(r#"{"config":{"ExposedPorts":{"53/udp":{}}}}"#), None);
    assert_eq!(port(r#"{"config":{"ExposedPorts":null}}"#), None);
    assert_eq!(port(r#"{"config":null}"#), None);
    assert_eq!(port("{}"), None);
}

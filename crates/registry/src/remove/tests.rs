//! Manifests that go, and registries that keep them.

use sha2::{Digest as _, Sha256};
use wiremock::matchers::{basic_auth, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::{Credentials, connect};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn sha256(text: &str) -> String {
    let hex: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn registry(credentials: Credentials, server: &MockServer) -> (Registry, String) {
    // Fails when another test was first, which does as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let host = server.address().to_string();
    (connect(credentials, vec![host.clone()]).unwrap(), host)
}

/// An index over an image and what is attested of it.
fn index(image: &str, attested: &str) -> String {
    let entry = |digest: &str, annotations: &str| {
        format!(r#"{{"mediaType":"{MANIFEST}","digest":"{digest}","size":7{annotations}}}"#)
    };
    let about = format!(
        r#","annotations":{{"vnd.docker.reference.type":"attestation-manifest","vnd.docker.reference.digest":"{image}"}}"#
    );
    let entries = [entry(image, ""), entry(attested, &about)].join(",");
    format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{entries}]}}"#)
}

fn of(digest: &str) -> String {
    format!("/v2/demo/manifests/{digest}")
}

async fn serve(server: &MockServer, body: String, media: &str) -> String {
    let digest = sha256(&body);
    let response = ResponseTemplate::new(200).set_body_raw(body, media);
    Mock::given(method("GET")).and(path(of(&digest))).respond_with(response).mount(server).await;
    digest
}

fn manifest() -> String {
    let config = sha256("config");
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":2}},"layers":[]}}"#
    )
}

async fn deleted(server: &MockServer) -> Vec<String> {
    let requests = server.received_requests().await.unwrap();
    let deletes = requests.iter().filter(|it| it.method.as_str() == "DELETE");
    deletes.map(|it| it.url.path().to_owned()).collect()
}

#[tokio::test]
async fn an_index_takes_what_is_attested_with_it_and_leaves_the_image() {
    let server = MockServer::start().await;
    let (image, attested) = (sha256("image"), sha256("attested"));
    let index = serve(&server, index(&image, &attested), INDEX).await;
    Mock::given(method("DELETE")).respond_with(ResponseTemplate::new(202)).mount(&server).await;
    let (registry, host) = registry(Credentials::default(), &server);
    let removed = remove(&registry, &format!("{host}/demo@{index}")).await.unwrap();
    assert_eq!(removed, Removal::Gone);
    assert_eq!(deleted(&server).await, [of(&attested), of(&index)]);
}

#[tokio::test]
async fn what_is_not_there_is_gone() {
    let server = MockServer::start().await;
    let (registry, host) = registry(Credentials::default(), &server);
    let image = format!("{host}/demo@{}", sha256("nothing"));
    assert_eq!(remove(&registry, &image).await.unwrap(), Removal::Gone);
    assert!(deleted(&server).await.is_empty());
    // It goes between the two questions.
    let image = format!("{host}/demo@{}", serve(&server, manifest(), MANIFEST).await);
    assert_eq!(remove(&registry, &image).await.unwrap(), Removal::Gone);
}

#[tokio::test]
async fn every_answer_to_a_removal_has_its_meaning() {
    let unsupported = r#"{"errors":[{"code":"UNSUPPORTED","message":"no"}]}"#;
    for (status, body, expected) in [
        (405, unsupported, "Ok(NotAllowed)"),
        (405, "", "Ok(NotAllowed)"),
        (400, unsupported, "Ok(NotAllowed)"),
        (400, r#"{"errors":[{"code":"DENIED_BY_TAG"}]}"#, "Err(Invalid"),
        (401, "", "Err(Refused"),
        (403, "", "Err(Refused"),
        (429, "", "Err(Unavailable"),
        (503, "", "Err(Unavailable"),
    ] {
        let server = MockServer::start().await;
        let digest = serve(&server, manifest(), MANIFEST).await;
        let answer = ResponseTemplate::new(status).set_body_string(body);
        Mock::given(method("DELETE")).respond_with(answer).mount(&server).await;
        let (registry, host) = registry(Credentials::default(), &server);
        let said = format!("{:?}", remove(&registry, &format!("{host}/demo@{digest}")).await);
        assert!(said.starts_with(expected), "{status} {body}: {said}");
    }
}

#[tokio::test]
async fn a_tag_is_not_removed() {
    let server = MockServer::start().await;
    let response = ResponseTemplate::new(200).set_body_raw(manifest(), MANIFEST);
    Mock::given(method("GET")).and(path(of("v1"))).respond_with(response).mount(&server).await;
    let (registry, host) = registry(Credentials::default(), &server);
    let error = remove(&registry, &format!("{host}/demo:v1")).await.unwrap_err();
    assert!(matches!(error, RegistryError::Invalid(_)), "{error}");
    assert!(deleted(&server).await.is_empty());
}

#[tokio::test]
async fn a_token_is_asked_for_what_the_registry_says() {
    let server = MockServer::start().await;
    let digest = serve(&server, manifest(), MANIFEST).await;
    let host = server.address().to_string();
    let challenge =
        format!(r#"Bearer realm="http://{host}/token",service="s",scope="repository:demo:delete""#);
    let with_token = header("authorization", "Bearer t0ken");
    Mock::given(method("DELETE"))
        .and(with_token)
        .respond_with(ResponseTemplate::new(202))
        .with_priority(1)
        .mount(&server)
        .await;
    let refused = ResponseTemplate::new(401).insert_header("www-authenticate", challenge.as_str());
    Mock::given(method("DELETE")).respond_with(refused).mount(&server).await;
    Mock::given(path("/token"))
        .and(basic_auth("ada", "s3cret"))
        .and(query_param("scope", "repository:demo:delete"))
        .and(query_param("service", "s"))
        .respond_with(
            ResponseTemplate::new(200).set_body_string(r#"{"token":"t0ken","access_token":"t0ken"}"#),
        )
        .expect(1)
        .mount(&server)
        .await;
    let json = format!(r#"{{"auths":{{"{host}":{{"username":"ada","password":"s3cret"}}}}}}"#);
    let (registry, host) = registry(Credentials::parse(json.as_bytes()).unwrap(), &server);
    let removed = remove(&registry, &format!("{host}/demo@{digest}")).await.unwrap();
    assert_eq!(removed, Removal::Gone);
}

#[test]
fn challenges() {
    let parsed = parse_challenge(r#"bearer realm="https://a/t",service="s",error="invalid_token""#);
    let expected = Challenge { realm: "https://a/t".to_owned(), service: Some("s".to_owned()), scope: None };
    assert_eq!(parsed, Some(expected));
    for bad in ["Basic realm=\"x\"", "Bearer", "Bearer service=\"s\"", "Bearer realm=\"x"] {
        assert_eq!(parse_challenge(bad), None, "{bad}");
    }
}

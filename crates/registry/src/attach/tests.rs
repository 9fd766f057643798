//! A registry that keeps manifests, with and without knowing their subjects.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use wiremock::matchers::{method, path, path_regex};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use super::*;
use crate::{Credentials, connect};

const SPDX: &str = "application/spdx+json";

/// Manifests by digest or tag; a tag is kept with what it names.
#[derive(Clone, Default)]
struct Kept {
    manifests: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    knows_subjects: bool,
}

impl Kept {
    fn names(&self) -> Vec<String> {
        self.manifests.lock().unwrap().keys().cloned().collect()
    }

    fn read(&self, name: &str) -> Value {
        serde_json::from_slice(&self.manifests.lock().unwrap()[name]).unwrap()
    }

    fn referrers(&self) -> ResponseTemplate {
        if !self.knows_subjects {
            return ResponseTemplate::new(404);
        }
        let manifests = self.manifests.lock().unwrap();
        let all = manifests.iter().filter_map(|(name, bytes)| {
            let manifest: Value = serde_json::from_slice(bytes).unwrap();
            let kind = manifest["artifactType"].as_str()?;
            Some(json!({"mediaType": OCI_IMAGE_MEDIA_TYPE, "digest": name, "size": bytes.len(), "artifactType": kind}))
        });
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": all.collect::<Vec<_>>()});
        ResponseTemplate::new(200).set_body_raw(index.to_string(), INDEX)
    }
}

impl Respond for Kept {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        if request.url.path().contains("/referrers/") {
            return self.referrers();
        }
        let name = request.url.path().rsplit('/').next().unwrap().to_owned();
        let mut manifests = self.manifests.lock().unwrap();
        match request.method.as_str() {
            "PUT" => {
                let digest = format!("sha256:{}", hex::encode(Sha256::digest(&request.body)));
                manifests.insert(name, request.body.clone());
                manifests.insert(digest, request.body.clone());
                let answer = ResponseTemplate::new(201);
                if self.knows_subjects { answer.insert_header(KNOWS_SUBJECTS, "sha256:1") } else { answer }
            }
            "DELETE" => {
                let Some(gone) = manifests.remove(&name) else { return ResponseTemplate::new(404) };
                manifests.retain(|_, bytes| *bytes != gone);
                ResponseTemplate::new(202)
            }
            _ => match manifests.get(&name) {
                Some(bytes) => {
                    let media = serde_json::from_slice::<Value>(bytes).unwrap()["mediaType"].clone();
                    ResponseTemplate::new(200).set_body_raw(bytes.clone(), media.as_str().unwrap())
                }
                None => ResponseTemplate::new(404),
            },
        }
    }
}

/// With an image in it.
async fn start(knows_subjects: bool) -> (MockServer, Kept, Registry, String) {
    // Fails when another test was first, which does as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = MockServer::start().await;
    let kept = Kept { knows_subjects, ..Kept::default() };
    let host = server.address().to_string();
    Mock::given(path("/v2/")).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    Mock::given(path_regex("^/v2/demo/(manifests|referrers)/.*"))
        .respond_with(kept.clone())
        .mount(&server)
        .await;
    let place = format!("http://{host}/v2/demo/blobs/uploads/1");
    let begun = ResponseTemplate::new(202).insert_header("location", place.as_str());
    Mock::given(method("POST")).and(path("/v2/demo/blobs/uploads/")).respond_with(begun).mount(&server).await;
    let more = ResponseTemplate::new(202).insert_header("location", place.as_str());
    Mock::given(method("PATCH")).respond_with(more).mount(&server).await;
    let ended = ResponseTemplate::new(201).insert_header("location", place.as_str());
    Mock::given(method("PUT")).and(path("/v2/demo/blobs/uploads/1")).respond_with(ended).mount(&server).await;
    let image = json!({"schemaVersion": 2, "mediaType": OCI_IMAGE_MEDIA_TYPE, "layers": []}).to_string();
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(&image)));
    kept.manifests.lock().unwrap().insert(digest.clone(), image.into_bytes());
    let registry = connect(Credentials::default(), vec![host.clone()]).unwrap();
    (server, kept, registry, format!("{host}/demo@{digest}"))
}

fn document(media_type: &str) -> Attachment<'_> {
    Attachment { media_type, content: Bytes::from_static(b"{\"a\": 1}"), created: "2026-01-31T12:00:00Z" }
}

#[tokio::test]
async fn a_registry_that_knows_subjects_needs_no_list() {
    let (_server, kept, registry, image) = start(true).await;
    let digest = image.split_once('@').unwrap().1;
    let attached = attach(&registry, &image, document(SPDX)).await.unwrap();
    assert_eq!(attach(&registry, &image, document(SPDX)).await.unwrap(), attached, "once more is the same");
    let manifest = kept.read(&attached);
    assert_eq!((&manifest["artifactType"], &manifest["subject"]["digest"]), (&json!(SPDX), &json!(digest)));
    assert_eq!(manifest["layers"][0]["size"], 8);
    assert_eq!(kept.names().len(), 2);
    assert_eq!(detach(&registry, &image, SPDX).await.unwrap(), Removal::Gone);
    assert_eq!(kept.names(), [digest]);
}

#[tokio::test]
async fn any_other_finds_them_in_a_list_that_others_write_too() {
    let (_server, kept, registry, image) = start(false).await;
    let digest = image.split_once('@').unwrap().1;
    let tag = digest.replace(':', "-");
    let ours = attach(&registry, &image, document(SPDX)).await.unwrap();
    attach(&registry, &image, document(SPDX)).await.unwrap();
    let theirs = attach(&registry, &image, document("application/their-signature")).await.unwrap();
    let listed = |kept: &Kept| -> Vec<String> {
        let entries = kept.read(&tag)["manifests"].as_array().unwrap().clone();
        entries.iter().map(|it| it["digest"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(listed(&kept), [ours.as_str(), theirs.as_str()]);
    assert_eq!(detach(&registry, &image, SPDX).await.unwrap(), Removal::Gone);
    assert_eq!(listed(&kept), [theirs.as_str()]);
    assert!(!kept.names().contains(&ours));
    assert_eq!(detach(&registry, &image, SPDX).await.unwrap(), Removal::Gone, "there is none");
    assert_eq!(listed(&kept), [theirs.as_str()]);
    assert_eq!(detach(&registry, &image, "application/their-signature").await.unwrap(), Removal::Gone);
    assert!(!kept.names().contains(&tag) && kept.names().iter().any(|it| it == digest));
}

#[tokio::test]
async fn nothing_attached_is_nothing_to_remove() {
    for knows_subjects in [true, false] {
        let (_server, kept, registry, image) = start(knows_subjects).await;
        assert_eq!(detach(&registry, &image, SPDX).await.unwrap(), Removal::Gone);
        assert_eq!(kept.names().len(), 1);
    }
}

#[tokio::test]
async fn an_image_that_is_gone_gets_nothing() {
    let (_server, kept, registry, image) = start(false).await;
    let missing = format!("{}@sha256:{}", image.split_once('@').unwrap().0, "a".repeat(64));
    let error = attach(&registry, &missing, document(SPDX)).await.unwrap_err();
    assert!(matches!(error, RegistryError::NotFound(_)), "{error}");
    assert_eq!(kept.names().len(), 1);
}

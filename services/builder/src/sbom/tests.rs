//! Images in a registry that is not one, and their rows in a real PostgreSQL.

use ::sbom::Found;
use futures::stream;
use host::metrics::Metrics;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use store::app::{self, NewApp};
use store::build::Build;
use store::sbom::Standing;
use store::{branch, build, push};
use uuid::Uuid;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::sbom::pace::LOOK_EVERY;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn layer(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(content.len()).unwrap());
        header.set_mode(0o644);
        tar.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

/// An image of these layers, each of which the registry may have lost.
async fn image(server: &MockServer, layers: &[(&[u8], bool)]) -> String {
    let mut described = Vec::new();
    for (bytes, is_there) in layers {
        let digest = sha256(bytes);
        described.push(json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": bytes.len()}));
        if *is_there {
            let answer = ResponseTemplate::new(200).set_body_bytes(*bytes);
            Mock::given(path(format!("/v2/demo/blobs/{digest}"))).respond_with(answer).mount(server).await;
        }
    }
    let config =
        json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(b"{}"), "size": 2});
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": described});
    let manifest = manifest.to_string().into_bytes();
    let digest = sha256(&manifest);
    let answer = ResponseTemplate::new(200).set_body_raw(manifest, MANIFEST);
    Mock::given(path(format!("/v2/demo/manifests/{digest}"))).respond_with(answer).mount(server).await;
    digest
}

/// A build that made the image long ago.
async fn built(db: &PgPool, app: Uuid, repository: &str, digest: &str) -> Build {
    let mut tx = db.begin().await.unwrap();
    let main = branch::touch(&mut tx, app, "main").await.unwrap();
    let commit = format!("{:0>40}", Uuid::now_v7().simple().to_string());
    let build = push::record(&mut tx, &main, &commit[..40]).await.unwrap().unwrap();
    build::record_image(&mut tx, &build, repository, digest, 100).await.unwrap();
    store::sbom::want(&mut tx, app, digest).await.unwrap();
    sqlx::query("update sbom set due_at = now() where attempt = 0").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    build
}

struct Place {
    server: MockServer,
    repository: String,
    registry: Registry,
    builds: Builds,
    numbers: Sboms,
    app: Uuid,
}

async fn place(db: &PgPool) -> Place {
    // Fails when another test was first, which does as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = MockServer::start().await;
    Mock::given(path("/v2/")).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    let host = server.address().to_string();
    let metrics = Metrics::default();
    let mut conn = db.acquire().await.unwrap();
    let app = app::create(&mut conn, &NewApp::pushed("demo", "main")).await.unwrap().unwrap().id;
    Place {
        repository: format!("{host}/demo"),
        registry: registry::connect(registry::Credentials::default(), vec![host]).unwrap(),
        builds: Builds::new(&metrics),
        numbers: Sboms::new(&metrics),
        server,
        app,
    }
}

impl Place {
    fn work<'a>(&'a self, db: &'a PgPool) -> Work<'a> {
        Work { db, registry: &self.registry, builds: &self.builds, numbers: &self.numbers }
    }
}

async fn made(db: &PgPool, build: &Build) -> Vec<String> {
    let Some(Standing::Made(text)) = store::sbom::of_build(db, build.id).await.unwrap() else {
        panic!("no document of #{}", build.number);
    };
    let document: Value = serde_json::from_str(&text).unwrap();
    let packages = document["packages"].as_array().unwrap().iter().skip(1);
    packages.map(|it| format!("{} {}", it["name"], it["versionInfo"]).replace('"', "")).collect()
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn images_are_described_and_what_is_known_is_not_read_again(db: PgPool) {
    let place = place(&db).await;
    let base =
        layer(&[("var/lib/dpkg/status", "Package: libc6\nStatus: install ok installed\nVersion: 2.36\n")]);
    let app = |name: &str| {
        layer(&[("app/node_modules/x/package.json", &format!(r#"{{"name": "{name}", "version": "1"}}"#))])
    };
    let (one, two) = (app("one"), app("two"));
    let mut known = Known::default();
    let shutdown = CancellationToken::new();
    let mut builds = Vec::new();
    for own in [&one, &two] {
        let digest = image(&place.server, &[(&base, true), (own, true)]).await;
        builds.push(built(&db, place.app, &place.repository, &digest).await);
        assert!(next(place.work(&db), &mut known, &shutdown).await.unwrap().is_some());
        assert!(next(place.work(&db), &mut known, &shutdown).await.unwrap().is_none());
    }
    assert_eq!(made(&db, &builds[0]).await, ["libc6 2.36", "one 1"]);
    assert_eq!(made(&db, &builds[1]).await, ["libc6 2.36", "two 1"]);
    let requests = place.server.received_requests().await.unwrap();
    let asked = |layer: &[u8]| requests.iter().filter(|it| it.url.path().ends_with(&sha256(layer))).count();
    assert_eq!((asked(&base), asked(&one), asked(&two)), (1, 1, 1));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_image_that_cannot_be_read_says_why(db: PgPool) {
    let place = place(&db).await;
    let mut known = Known::default();
    for (number, (content, is_there, expected)) in [
        (b"not a tar, but long enough".repeat(40), true, "its layer sha256:"),
        (b"lost".to_vec(), false, "the registry has no"),
    ]
    .into_iter()
    .enumerate()
    {
        let digest = image(&place.server, &[(&content, is_there)]).await;
        let build = built(&db, place.app, &place.repository, &digest).await;
        let rest = next(place.work(&db), &mut known, &CancellationToken::new()).await.unwrap();
        assert!(rest.is_some_and(|rest| rest >= ASK_EVERY), "{rest:?}");
        let standing = store::sbom::of_build(&db, build.id).await.unwrap().unwrap();
        let Standing::Wanted(Some(fault)) = standing else { panic!("{number}: {standing:?}") };
        assert!(fault.contains(expected), "{fault}");
        assert!(
            next(place.work(&db), &mut known, &CancellationToken::new()).await.unwrap().is_none(),
            "not at once again"
        );
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_shutdown_leaves_it_to_others(db: PgPool) {
    let place = place(&db).await;
    let digest = format!("sha256:{}", "a".repeat(64));
    let endless = ResponseTemplate::new(200).set_delay(Duration::from_secs(3600));
    let asked = Mock::given(path(format!("/v2/demo/manifests/{digest}"))).respond_with(endless);
    let asked = asked.mount_as_scoped(&place.server).await;
    let build = built(&db, place.app, &place.repository, &digest).await;
    let shutdown = CancellationToken::new();
    let mut known = Known::default();
    let cancelling = async {
        while asked.received_requests().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        shutdown.cancel();
    };
    let (more, ()) = tokio::join!(next(place.work(&db), &mut known, &shutdown), cancelling);
    assert!(more.unwrap().is_none());
    assert_eq!(store::sbom::of_build(&db, build.id).await.unwrap(), Some(Standing::Wanted(None)));
    let again = store::sbom::begin(&db).await.unwrap().unwrap();
    assert_eq!(again.attempt, 1, "the one before counts as none");
}

#[tokio::test]
async fn reading_stops_while_a_build_runs() {
    let builds = Builds::new(&Metrics::default());
    let active = builds.active();
    let bytes = layer(&[("app/node_modules/x/package.json", r#"{"name": "x", "version": "1"}"#)]);
    let chunks: Vec<_> = bytes.chunks(100).map(|chunk| Ok(chunk.to_vec())).collect();
    let mut pace = Pace::new(&builds, LOOK_EVERY * 10);
    let reading = read(stream::iter(chunks), Found::default(), &mut pace);
    tokio::pin!(reading);
    assert!(tokio::time::timeout(LOOK_EVERY * 3, &mut reading).await.is_err(), "it did not wait");
    drop(active);
    assert_eq!(reading.await.unwrap().size(), 1);
}

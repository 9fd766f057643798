//! The job `report` against a forge made of wiremock.

use domain::forge_kind::ForgeKind;
use domain::job::JobKind;
use domain::reason::{Reason, ReasonCode};
use sqlx::PgPool;
use store::app::App;
use store::build::Build;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{COMMIT, app_at, assert_waits, claim, clock, state_of};
use crate::report::{Reporter, report};
use crate::status::Links;

fn reporter(db: &PgPool) -> Reporter {
    // A second test of this process finds the provider installed, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let links = Links {
        base_url: "http://slipway.localhost:8080".parse().unwrap(),
        base_domain: "slipway.localhost:8080".to_owned(),
    };
    Reporter { db: db.clone(), http: forge::status::client().unwrap(), links }
}

/// A forge that answers every status with `code`.
async fn forge(code: u16) -> MockServer {
    let forge = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path(format!("/api/v1/repos/slip/demo/statuses/{COMMIT}")))
        .respond_with(ResponseTemplate::new(code))
        .mount(&forge)
        .await;
    forge
}

async fn pushed(db: &PgPool, kind: ForgeKind, forge: &MockServer) -> (App, Build) {
    let (app, _) = app_at(db, kind, &format!("{}/slip/demo.git", forge.uri())).await;
    let build = push(db, &app, COMMIT).await;
    (app, build)
}

async fn push(db: &PgPool, app: &App, commit: &str) -> Build {
    let mut tx = db.begin().await.unwrap();
    let main = store::branch::touch(&mut tx, app.id, "main").await.unwrap();
    let build = store::push::record(&mut tx, &main, commit).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    build
}

/// What the forge was told, as `state: description -> target`.
async fn told(forge: &MockServer) -> Vec<String> {
    let requests = forge.received_requests().await.unwrap();
    let line = |request: &wiremock::Request| {
        let body: serde_json::Value = request.body_json().unwrap();
        assert_eq!(body["context"], "slipway/main");
        let text = |key: &str| body[key].as_str().unwrap().to_owned();
        format!("{}: {} -> {}", text("state"), text("description"), text("target_url"))
    };
    requests.iter().map(line).collect()
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_forge_is_told_how_the_build_stands_now(db: PgPool) {
    let forge = forge(201).await;
    let (_, build) = pushed(&db, ForgeKind::Gitea, &forge).await;
    let job = claim(&db, JobKind::Report).await.unwrap();
    report(&reporter(&db), &job).await.unwrap();
    assert_eq!(state_of(&db, &job).await, ("done".to_owned(), None));

    let mut conn = db.acquire().await.unwrap();
    let reason = Reason::new(ReasonCode::StepFailed, "step 3 of 5 failed: npm ci");
    assert!(store::build::fail(&mut conn, build.id, &reason).await.unwrap());
    store::push::enqueue_report(&mut conn, build.id).await.unwrap();
    report(&reporter(&db), &claim(&db, JobKind::Report).await.unwrap()).await.unwrap();
    let page = "http://slipway.localhost:8080/apps/demo/builds/1";
    assert_eq!(
        told(&forge).await,
        [
            format!("pending: build #1 is queued -> {page}"),
            format!("failure: step 3 of 5 failed: npm ci -> {page}"),
        ]
    );
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_superseded_build_says_by_which(db: PgPool) {
    let forge = forge(201).await;
    let (app, first) = pushed(&db, ForgeKind::Gitea, &forge).await;
    push(&db, &app, &"b".repeat(40)).await;
    let job = claim(&db, JobKind::Report).await.unwrap();
    assert_eq!(job.subject, first.id);
    report(&reporter(&db), &job).await.unwrap();
    assert_eq!(
        told(&forge).await,
        ["warning: superseded by #2 -> http://slipway.localhost:8080/apps/demo/builds/1"]
    );
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_commit_that_came_back_is_told_of_once(db: PgPool) {
    let forge = forge(201).await;
    let (app, first) = pushed(&db, ForgeKind::Gitea, &forge).await;
    push(&db, &app, &"b".repeat(40)).await;
    push(&db, &app, COMMIT).await;
    let job = claim(&db, JobKind::Report).await.unwrap();
    assert_eq!(job.subject, first.id);
    report(&reporter(&db), &job).await.unwrap();
    assert_eq!(told(&forge).await, Vec::<String>::new(), "build #3 speaks for this commit");
    assert_eq!(state_of(&db, &job).await.0, "done");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_refusal_is_final(db: PgPool) {
    let forge = forge(403).await;
    pushed(&db, ForgeKind::Gitea, &forge).await;
    let job = claim(&db, JobKind::Report).await.unwrap();
    report(&reporter(&db), &job).await.unwrap();
    let (state, error) = state_of(&db, &job).await;
    assert_eq!(state, "failed");
    assert!(error.unwrap().contains("403"));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_forge_in_trouble_is_told_again_later(db: PgPool) {
    let forge = forge(502).await;
    pushed(&db, ForgeKind::Gitea, &forge).await;
    for (attempt, wait) in [(1, Some(5.0)), (2, Some(30.0)), (3, Some(120.0)), (4, None)] {
        let job = claim(&db, JobKind::Report).await.unwrap();
        assert_eq!(job.attempt, attempt);
        let begun = clock(&db).await;
        report(&reporter(&db), &job).await.unwrap();
        let Some(wait) = wait else {
            assert_eq!(state_of(&db, &job).await.0, "failed");
            assert!(claim(&db, JobKind::Report).await.is_none());
            return;
        };
        assert_eq!(state_of(&db, &job).await.0, "queued");
        assert_waits(&db, &job, &begun, wait).await;
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn gogs_and_those_without_a_token_are_not_told(db: PgPool) {
    let forge = forge(201).await;
    pushed(&db, ForgeKind::Gogs, &forge).await;
    let job = claim(&db, JobKind::Report).await.unwrap();
    report(&reporter(&db), &job).await.unwrap();
    assert_eq!(state_of(&db, &job).await.0, "done");

    sqlx::query("update app set forge = 'gitea', forge_token = null").execute(&db).await.unwrap();
    store::push::enqueue_report(&mut db.acquire().await.unwrap(), job.subject).await.unwrap();
    let job = claim(&db, JobKind::Report).await.unwrap();
    report(&reporter(&db), &job).await.unwrap();
    assert_eq!(state_of(&db, &job).await.0, "done");
    assert_eq!(told(&forge).await, Vec::<String>::new());
}

//! The receiver through its real router and jobs, on a real PostgreSQL. This file: what the tests share.

mod flood;
mod hooks;
mod limits;
mod measures;
mod polls;
mod reports;
mod resolves;
mod statuses;
mod taking;
mod traces;
mod vectors;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use domain::forge_kind::ForgeKind;
use domain::job::JobKind;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http_body_util::BodyExt as _;
use sqlx::PgPool;
use store::app::{App, Forge, Hook, NewApp};
use store::queue::Job;
use tower::ServiceExt as _;

const SECRET: &str = "slipway-test-secret";
const COMMIT: &str = "7f70ee95f145f093408f6cca6ad0709e1b21782a";

async fn app_at(db: &PgPool, forge: ForgeKind, repo_url: &str) -> (App, Hook) {
    let new = NewApp {
        name: "demo",
        forge: Some(Forge {
            kind: forge,
            repo_url: repo_url.to_owned(),
            user: Some("slip".to_owned()),
            token: Some("s3cret".to_owned()),
            api_url: None,
        }),
        default_branch: "main",
        dockerfile: "Dockerfile",
        context: "",
        target: None,
        port: Some(8080),
        health_path: "/",
    };
    let mut conn = db.acquire().await.unwrap();
    let app = store::app::create(&mut conn, &new).await.unwrap().unwrap();
    let hook = store::app::create_hook(&mut conn, app.id, SECRET).await.unwrap();
    (app, hook)
}

async fn demo(db: &PgPool) -> (App, Hook) {
    app_at(db, ForgeKind::Gitea, "http://forge.example/slip/demo.git").await
}

fn push_body(branch: &str) -> Vec<u8> {
    serde_json::json!({ "ref": format!("refs/heads/{branch}"), "after": COMMIT }).to_string().into_bytes()
}

fn signature(body: &[u8]) -> String {
    let mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap().chain_update(body);
    hex::encode(mac.finalize().into_bytes())
}

/// The headers of a push delivery of Gitea.
fn signed(key: &str, body: &[u8]) -> HeaderMap {
    let pairs = [
        ("x-gitea-event", "push"),
        ("x-gitea-delivery", key),
        ("x-gitea-signature", &signature(body)),
        ("content-type", "application/json"),
    ];
    pairs
        .into_iter()
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap()))
        .collect()
}

async fn post(
    router: &axum::Router,
    hook: &str,
    headers: HeaderMap,
    body: impl Into<Body>,
) -> (StatusCode, serde_json::Value) {
    let mut request = Request::post(format!("/hooks/{hook}")).body(body.into()).unwrap();
    *request.headers_mut() = headers;
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

async fn count(db: &PgPool, what: &'static str) -> i64 {
    sqlx::query_scalar(what).fetch_one(db).await.unwrap()
}

async fn jobs(db: &PgPool) -> i64 {
    count(db, "select count(*) from job").await
}

/// The next job, whose delay has gone by.
async fn claim(db: &PgPool, kind: JobKind) -> Option<Job> {
    sqlx::query("update job set run_at = now() where kind = $1 and attempt = 0")
        .bind(kind.as_str())
        .execute(db)
        .await
        .unwrap();
    store::queue::claim(db, &[kind], "test", store::worker::LEASE).await.unwrap()
}

/// The database's time, as it writes it.
async fn clock(db: &PgPool) -> String {
    sqlx::query_scalar("select now()::text").fetch_one(db).await.unwrap()
}

/// Nobody takes the job until so many seconds have gone by; now they have.
async fn assert_waits(db: &PgPool, job: &Job, since: &str, seconds: f64) {
    let waits = "select run_at >= $2::timestamptz + make_interval(secs => $3) from job where id = $1";
    let waits = sqlx::query_scalar(waits).bind(job.id).bind(since).bind(seconds);
    assert_eq!(waits.fetch_one(db).await.ok(), Some(true), "{seconds} s");
    // However slow this machine is.
    sqlx::query("update job set run_at = now() + interval '1 hour'").execute(db).await.unwrap();
    assert!(claim(db, job.kind.0).await.is_none(), "not before its time");
    sqlx::query("update job set run_at = now()").execute(db).await.unwrap();
}

/// State and error of a job.
async fn state_of(db: &PgPool, job: &Job) -> (String, Option<String>) {
    sqlx::query_as("select state::text, error from job where id = $1")
        .bind(job.id)
        .fetch_one(db)
        .await
        .unwrap()
}

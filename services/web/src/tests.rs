//! The web through its real router, on a real PostgreSQL. This file: what the tests share.

mod access;
mod builds;
mod cancelling;
mod changing;
mod creating;
mod environments;
mod following;
mod garbage;
mod provenance;
mod rebuilding;
mod rights;
mod sbom;
mod settings;
mod teams;
mod tokens;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::MockConnectInfo;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use domain::forge_kind::ForgeKind;
use domain::job::JobKind;
use host::site::Site;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use sqlx::PgPool;
use store::app::{App, Forge, NewApp};
use store::build::Build;
use store::log::{Batch, Lines, StepUpdate};
use store::queue::{Job, Outcome};
use store::release::NewRelease;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use vault::Vault;

use crate::Web;

const TOKEN: &str = "secret-token";
const FORGE_TOKEN: &str = "forge-secret";

/// With a token that is known to it.
async fn state(db: &PgPool) -> Web {
    store::token::ensure_bootstrap(db, TOKEN).await.unwrap();
    let site = Site {
        base_url: "http://slipway.localhost:8080".parse().unwrap(),
        base_domain: "slipway.localhost:8080".into(),
    };
    Web::new(db.clone(), vault(), &site, "http://10.96.0.80", CancellationToken::new())
}

fn vault() -> Arc<Vault> {
    Arc::new(Vault::parse(&format!("{}=", "A".repeat(43))).unwrap())
}

fn router(web: Web) -> Router {
    crate::router(web).layer(MockConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1))))
}

async fn web(db: &PgPool) -> Router {
    router(state(db).await)
}

type Answer = (StatusCode, HeaderMap, String);

async fn send(web: &Router, request: Request<Body>) -> Answer {
    let (parts, body) = web.clone().oneshot(request).await.unwrap().into_parts();
    let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    (parts.status, parts.headers, text)
}

fn request(method: &str, path: &str) -> axum::http::request::Builder {
    Request::builder().method(method).uri(path)
}

fn bearer(method: &str, path: &str) -> axum::http::request::Builder {
    request(method, path).header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
}

/// With the token.
async fn get(web: &Router, path: &str) -> Answer {
    send(web, bearer("GET", path).body(Body::empty()).unwrap()).await
}

async fn get_json(web: &Router, path: &str) -> Value {
    let (status, _, body) = get(web, path).await;
    assert_eq!(status, StatusCode::OK, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

async fn post_json(web: &Router, path: &str, body: &Value) -> Answer {
    send(web, bearer("POST", path).body(Body::from(body.to_string())).unwrap()).await
}

fn form(method: &str, path: &str, body: &str) -> Request<Body> {
    request(method, path)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(body.to_owned()))
        .unwrap()
}

fn wanted() -> Value {
    json!({"name": "demo", "forge": "gitea", "repo_url": "http://forge.example/slip/demo.git", "forge_token": FORGE_TOKEN})
}

async fn demo(db: &PgPool) -> App {
    let new = NewApp {
        name: "demo",
        forge: Some(Forge {
            kind: ForgeKind::Gitea,
            repo_url: "http://forge.example/slip/demo.git".to_owned(),
            user: None,
            token: Some(FORGE_TOKEN.to_owned()),
            api_url: None,
        }),
        default_branch: "main",
        dockerfile: "Dockerfile",
        context: "",
        target: None,
        port: Some(8080),
        health_path: "/",
    };
    store::app::create(&mut db.acquire().await.unwrap(), &new).await.unwrap().unwrap()
}

async fn pushed(db: &PgPool, app: &App, commit: char) -> Build {
    let mut tx = db.begin().await.unwrap();
    let main = store::branch::touch(&mut tx, app.id, "main").await.unwrap();
    let build = store::push::record(&mut tx, &main, &commit.to_string().repeat(40)).await.unwrap().unwrap();
    store::build::describe(&mut tx, build.id, "Say <hello>", "Ada").await.unwrap();
    tx.commit().await.unwrap();
    build
}

/// A build that a builder has begun, with the job that lets it write.
async fn running(db: &PgPool, app: &App, commit: char) -> (Build, Job) {
    let build = pushed(db, app, commit).await;
    let job = store::queue::claim(db, &[JobKind::Build], "w", store::worker::LEASE).await.unwrap().unwrap();
    assert!(store::build::start(&mut db.acquire().await.unwrap(), build.id, 1).await.unwrap());
    (build, job)
}

/// Lines `from..to` of step 1, each with its number in it.
async fn write(db: &PgPool, job: &Job, build: &Build, from: usize, to: usize) {
    let step = StepUpdate {
        number: 1,
        attempt: 1,
        name: "[2/4] RUN npm ci".into(),
        cached: false,
        error: None,
        started_at: Some(jiff::Timestamp::UNIX_EPOCH),
        completed_at: None,
        inputs: Vec::new(),
    };
    let lines = Lines::of(1, (from..to).map(|n| format!("line {n} <b>")));
    let batch = Batch { steps: &[step], chunks: &[lines.pack().unwrap()], ..Batch::default() };
    assert!(store::log::append(db, job, build.id, &batch).await.unwrap());
}

/// Ends a running build well, with a release that waits.
async fn released(db: &PgPool, app: &App, build: &Build, job: &Job) -> store::release::Release {
    let mut tx = db.begin().await.unwrap();
    store::queue::finish(&mut tx, job, Outcome::Done).await.unwrap();
    assert!(store::build::succeed(&mut tx, build.id, "sha256:1").await.unwrap());
    let env = store::environment::NewEnvironment {
        app_id: app.id,
        branch_id: build.branch_id,
        name: "main",
        namespace: "env-demo--main",
        ttl_seconds: None,
    };
    let env = store::environment::ensure(&mut tx, &env).await.unwrap();
    let new =
        NewRelease { build_id: build.id, image: "registry/demo@sha256:1", port: 8080, health_path: "/" };
    let release = store::release::create(&mut tx, &env, &new).await.unwrap();
    tx.commit().await.unwrap();
    release
}

async fn live(db: &PgPool, release: &store::release::Release) {
    let mut conn = db.acquire().await.unwrap();
    assert!(store::release::start(&mut conn, release.id, &json!([])).await.unwrap());
    assert!(store::release::make_live(&mut conn, release).await.unwrap());
}

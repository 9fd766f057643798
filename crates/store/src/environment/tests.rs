//! Removals against a real PostgreSQL. This file: what the tests share.

mod due;
mod giving_way;
mod locks;

use domain::job::JobKind;
use domain::state::{BuildState, ReleaseState};
use sqlx::PgPool;
use uuid::Uuid;

use super::*;
use crate::app::{self, App, NewApp};
use crate::build::{self, Build};
use crate::queue::{self, Beat, Job, Outcome};
use crate::release::{self, NewRelease, Release};
use crate::worker::LEASE;
use crate::{branch, push};

async fn demo(db: &PgPool) -> App {
    let new = NewApp::pushed("demo", "main");
    app::create(&mut db.acquire().await.unwrap(), &new).await.unwrap().unwrap()
}

async fn pushed(db: &PgPool, app: &App, branch: &str, commit: char) -> Build {
    loop {
        let mut tx = db.begin().await.unwrap();
        let branch = branch::touch(&mut tx, app.id, branch).await.unwrap();
        // `None`: it was deleted just now.
        if let Some(build) = push::record(&mut tx, &branch, &commit.to_string().repeat(40)).await.unwrap() {
            tx.commit().await.unwrap();
            return build;
        }
    }
}

async fn claim(db: &PgPool, kind: JobKind) -> Option<Job> {
    queue::claim(db, &[kind], "w", LEASE).await.unwrap()
}

/// What a builder does at the end of a build.
async fn release_of(
    db: &PgPool,
    job: &Job,
    build: &Build,
    ttl_seconds: Option<i64>,
) -> (Environment, Release) {
    release_unless_cancelled(db, job, build, ttl_seconds).await.unwrap()
}

async fn release_unless_cancelled(
    db: &PgPool,
    job: &Job,
    build: &Build,
    ttl_seconds: Option<i64>,
) -> Option<(Environment, Release)> {
    let mut tx = db.begin().await.unwrap();
    assert!(queue::finish(&mut tx, job, Outcome::Done).await.unwrap());
    if !build::start(&mut tx, build.id, 1).await.unwrap() {
        assert!(build::stop(&mut tx, build).await.unwrap());
        tx.commit().await.unwrap();
        return None;
    }
    assert!(build::succeed(&mut tx, build.id, "sha256:1").await.unwrap());
    let namespace = format!("env-demo--{}", build.environment);
    let new = NewEnvironment {
        app_id: build.app_id,
        branch_id: build.branch_id,
        name: &build.environment,
        namespace: &namespace,
        ttl_seconds,
    };
    let environment = ensure(&mut tx, &new).await.unwrap();
    let new =
        NewRelease { build_id: build.id, image: "registry/demo@sha256:1", port: 8080, health_path: "/" };
    let release = release::create(&mut tx, &environment, &new).await.unwrap();
    tx.commit().await.unwrap();
    Some((environment, release))
}

async fn released(db: &PgPool, app: &App, branch: &str, commit: char) -> (Environment, Release) {
    let build = pushed(db, app, branch, commit).await;
    let job = claim(db, JobKind::Build).await.unwrap();
    release_of(db, &job, &build, None).await
}

async fn start(db: &PgPool, release: &Release) {
    let mut conn = db.acquire().await.unwrap();
    assert!(release::start(&mut conn, release.id, &serde_json::json!([])).await.unwrap());
}

/// What a deployer does when a release answers.
async fn end_live(db: &PgPool, job: &Job, release: &Release) -> bool {
    let mut tx = db.begin().await.unwrap();
    branch::hold_of_build(&mut tx, release.build_id).await.unwrap();
    let held = queue::finish(&mut tx, job, Outcome::Done).await.unwrap();
    let is_live = held && release::make_live(&mut tx, release).await.unwrap();
    tx.commit().await.unwrap();
    is_live
}

async fn live(db: &PgPool, app: &App, branch: &str, commit: char) -> (Environment, Release) {
    let (environment, release) = released(db, app, branch, commit).await;
    let job = claim(db, JobKind::Deploy).await.unwrap();
    start(db, &release).await;
    assert!(end_live(db, &job, &release).await);
    (environment, release)
}

async fn ask(db: &PgPool, id: Uuid) -> bool {
    let mut tx = db.begin().await.unwrap();
    let asked = ask_removal(&mut tx, id).await.unwrap();
    tx.commit().await.unwrap();
    asked
}

async fn begin(db: &PgPool, job: &Job) -> bool {
    let mut tx = db.begin().await.unwrap();
    let begun = begin_removal(&mut tx, job).await.unwrap();
    if begun {
        tx.commit().await.unwrap();
    }
    begun
}

async fn end(db: &PgPool, job: &Job) -> bool {
    let mut tx = db.begin().await.unwrap();
    let ended = end_removal(&mut tx, job).await.unwrap();
    tx.commit().await.unwrap();
    ended
}

async fn finish(db: &PgPool, job: &Job, outcome: Outcome<'_>) {
    let mut tx = db.begin().await.unwrap();
    assert!(queue::finish(&mut tx, job, outcome).await.unwrap());
    tx.commit().await.unwrap();
}

async fn state(db: &PgPool, release: &Release) -> Option<ReleaseState> {
    release::get(db, release.id).await.unwrap().map(|release| release.state.0)
}

async fn head(db: &PgPool, build_id: Uuid) -> Option<String> {
    let build = build::get(db, build_id).await.unwrap().unwrap();
    branch::get(db, build.branch_id).await.unwrap().unwrap().head
}

async fn due(db: &PgPool) -> Vec<Uuid> {
    due_removals(db).await.unwrap()
}

async fn ask_due(db: &PgPool, id: Uuid) -> bool {
    let mut tx = db.begin().await.unwrap();
    let asked = ask_due_removal(&mut tx, id).await.unwrap();
    tx.commit().await.unwrap();
    asked
}

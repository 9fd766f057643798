//! Releases whose job is gone, and what becomes of them.

use domain::state::ReleaseState;

use super::*;
use crate::app::NewApp;
use crate::environment::{self, Environment, NewEnvironment};
use crate::queue::{self, Job, Outcome};
use crate::release::{self, NewRelease, Release};
use crate::{app, branch, push};

async fn environment(db: &PgPool) -> Environment {
    let mut tx = db.begin().await.unwrap();
    let app = app::create(&mut tx, &NewApp::pushed("demo", "main")).await.unwrap().unwrap();
    let branch = branch::touch(&mut tx, app.id, "main").await.unwrap();
    let new = NewEnvironment {
        app_id: app.id,
        branch_id: branch.id,
        name: "main",
        namespace: "env-demo--main",
        ttl_seconds: None,
    };
    let environment = environment::ensure(&mut tx, &new).await.unwrap();
    tx.commit().await.unwrap();
    environment
}

async fn released(db: &PgPool, environment: &Environment, commit: char) -> Release {
    let mut tx = db.begin().await.unwrap();
    let main = branch::touch(&mut tx, environment.app_id, "main").await.unwrap();
    let build = push::record(&mut tx, &main, &commit.to_string().repeat(40)).await.unwrap().unwrap();
    let new = NewRelease { build_id: build.id, image: "r/demo@sha256:1", port: 8080, health_path: "/" };
    let release = release::create(&mut tx, environment, &new).await.unwrap();
    tx.commit().await.unwrap();
    release
}

async fn claimed(db: &PgPool) -> Job {
    queue::claim(db, &[JobKind::Deploy], "d", worker::LEASE).await.unwrap().unwrap()
}

/// Its job ends, and nobody writes the release.
async fn abandoned(db: &PgPool, release: &Release) {
    let job = claimed(db).await;
    assert_eq!(job.subject, release.id);
    let mut conn = db.acquire().await.unwrap();
    assert!(release::start(&mut conn, release.id, &serde_json::json!([])).await.unwrap());
    assert!(queue::finish(&mut conn, &job, Outcome::Cancelled).await.unwrap());
}

/// As if all that is there had happened so much earlier.
async fn later(db: &PgPool, seconds: i32) {
    for statement in [
        "update release set created_at = created_at - make_interval(secs => $1)",
        "update job set finished_at = finished_at - make_interval(secs => $1)",
    ] {
        sqlx::query(statement).bind(f64::from(seconds)).execute(db).await.unwrap();
    }
}

async fn state(db: &PgPool, release: &Release) -> ReleaseState {
    release::get(db, release.id).await.unwrap().unwrap().state.0
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn the_newest_is_queued_again(db: PgPool) {
    let environment = environment(&db).await;
    let release = released(&db, &environment, 'a').await;
    later(&db, JOBLESS_MAX + 1).await;
    assert_eq!(repair(&db).await.unwrap(), 0, "its job waits");
    abandoned(&db, &release).await;
    assert_eq!(repair(&db).await.unwrap(), 0, "not at once");
    later(&db, JOBLESS_MAX + 1).await;
    assert_eq!(repair(&db).await.unwrap(), 1);
    assert_eq!(repair(&db).await.unwrap(), 0, "once");
    assert_eq!(claimed(&db).await.subject, release.id);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn an_older_one_gives_way(db: PgPool) {
    let environment = environment(&db).await;
    let first = released(&db, &environment, 'a').await;
    abandoned(&db, &first).await;
    let second = released(&db, &environment, 'b').await;
    // It never begins, or it would have ended the first one.
    let job = claimed(&db).await;
    assert_eq!(job.subject, second.id);
    let mut conn = db.acquire().await.unwrap();
    assert!(release::fail(&mut conn, second.id, &reason()).await.unwrap());
    assert!(queue::finish(&mut conn, &job, Outcome::Failed { error: "x" }).await.unwrap());
    later(&db, JOBLESS_MAX + 1).await;
    assert_eq!(repair(&db).await.unwrap(), 1);
    assert_eq!(
        (state(&db, &first).await, state(&db, &second).await),
        (ReleaseState::Superseded, ReleaseState::Failed)
    );
}

fn reason() -> domain::reason::Reason {
    domain::reason::Reason::new(domain::reason::ReasonCode::LeaseLost, "it was lost")
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn the_removal_of_its_environment_ends_it(db: PgPool) {
    let environment = environment(&db).await;
    let release = released(&db, &environment, 'a').await;
    abandoned(&db, &release).await;
    let mut conn = db.acquire().await.unwrap();
    assert!(environment::ask_removal(&mut conn, environment.id).await.unwrap());
    later(&db, JOBLESS_MAX + 1).await;
    assert_eq!(repair(&db).await.unwrap(), 0);
}

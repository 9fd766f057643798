//! A wish to stop against everything that can happen to a build meanwhile.

use domain::reason::{Reason, ReasonCode};
use domain::state::BuildState;
use sqlx::PgPool;

use super::*;
use crate::app::{self, App, NewApp};
use crate::queue::{Beat, Job, Outcome};
use crate::worker::LEASE;
use crate::{branch, build};

async fn demo(db: &PgPool) -> App {
    let mut conn = db.acquire().await.unwrap();
    app::create(&mut conn, &NewApp::pushed("demo", "main")).await.unwrap().unwrap()
}

async fn pushed(db: &PgPool, app: &App, commit: char) -> Build {
    let mut tx = db.begin().await.unwrap();
    let main = branch::touch(&mut tx, app.id, "main").await.unwrap();
    let build = push::record(&mut tx, &main, &commit.to_string().repeat(40)).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    build
}

async fn claimed(db: &PgPool) -> Option<Job> {
    queue::claim(db, &[JobKind::Build], "w", LEASE).await.unwrap()
}

/// A build that a builder has begun.
async fn running(db: &PgPool, app: &App, commit: char) -> (Build, Job) {
    let build = pushed(db, app, commit).await;
    let job = claimed(db).await.unwrap();
    assert!(build::start(&mut db.acquire().await.unwrap(), build.id, job.attempt).await.unwrap());
    (build, job)
}

async fn asked(db: &PgPool, build: &Build, by: &str) -> Cancelled {
    let mut tx = db.begin().await.unwrap();
    let cancelled = ask(&mut tx, build, by).await.unwrap();
    tx.commit().await.unwrap();
    cancelled
}

async fn reload(db: &PgPool, build: &Build) -> Build {
    build::get(db, build.id).await.unwrap().unwrap()
}

/// Its state, and who asked it to stop.
async fn story(db: &PgPool, build: &Build) -> (BuildState, Option<String>) {
    let build = reload(db, build).await;
    (build.state.0, build.cancelled_by)
}

fn by(who: &str) -> (BuildState, Option<String>) {
    (BuildState::Cancelled, Some(who.to_owned()))
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn one_that_waits_ends_at_once(db: PgPool) {
    let app = demo(&db).await;
    let build = pushed(&db, &app, 'a').await;
    assert_eq!(asked(&db, &build, "ada").await, Cancelled::Ended);
    let row = reload(&db, &build).await;
    assert_eq!(story(&db, &build).await, by("ada"));
    assert_eq!(row.cancelled_at, row.finished_at);
    assert!(claimed(&db).await.is_none(), "nobody builds it any more");
    assert_eq!(asked(&db, &build, "eve").await, Cancelled::TooLate);
    assert_eq!(story(&db, &build).await, by("ada"));
    let again = pushed(&db, &app, 'b').await;
    assert_eq!(claimed(&db).await.unwrap().subject, again.id, "the next push builds");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn one_that_runs_is_asked_and_its_builder_ends_it(db: PgPool) {
    let app = demo(&db).await;
    let (build, job) = running(&db, &app, 'a').await;
    assert_eq!(asked(&db, &build, "ada").await, Cancelled::Asked);
    assert_eq!(asked(&db, &build, "eve").await, Cancelled::Asked, "asking twice is no fault");
    assert_eq!(story(&db, &build).await, (BuildState::Running, Some("ada".to_owned())));
    assert_eq!(queue::beat(&db, &job, LEASE).await.unwrap(), Beat::CancelRequested);

    let newer = pushed(&db, &app, 'b').await;
    let mut conn = db.acquire().await.unwrap();
    assert!(queue::finish(&mut conn, &job, Outcome::Cancelled).await.unwrap());
    assert!(build::stop(&mut conn, &build).await.unwrap());
    assert_eq!(story(&db, &build).await, by("ada"));
    assert_eq!(reload(&db, &build).await.superseded_by, None, "it was over before the newer one came");
    assert_eq!(claimed(&db).await.unwrap().subject, newer.id);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_builder_that_was_about_to_end_comes_too_late(db: PgPool) {
    let app = demo(&db).await;
    let (built, job) = running(&db, &app, 'a').await;
    assert_eq!(asked(&db, &built, "ada").await, Cancelled::Asked);
    let mut conn = db.acquire().await.unwrap();
    assert!(queue::finish(&mut conn, &job, Outcome::Done).await.unwrap());
    assert!(!build::succeed(&mut conn, built.id, "sha256:1").await.unwrap(), "no release may follow");
    assert_eq!(story(&db, &built).await, by("ada"));
    assert_eq!(reload(&db, &built).await.digest, None);

    let (failing, job) = running(&db, &app, 'b').await;
    assert_eq!(asked(&db, &failing, "ada").await, Cancelled::Asked);
    assert!(queue::finish(&mut conn, &job, Outcome::Failed { error: "killed" }).await.unwrap());
    let reason = Reason::new(ReasonCode::StepFailed, "exit code: 137: context canceled");
    assert!(build::fail(&mut conn, failing.id, &reason).await.unwrap());
    assert_eq!(story(&db, &failing).await, by("ada"));
    assert!(reload(&db, &failing).await.reason.is_none());
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn one_that_has_ended_stays_as_it_ended(db: PgPool) {
    let app = demo(&db).await;
    let (build, job) = running(&db, &app, 'a').await;
    let mut conn = db.acquire().await.unwrap();
    assert!(queue::finish(&mut conn, &job, Outcome::Done).await.unwrap());
    assert!(build::succeed(&mut conn, build.id, "sha256:1").await.unwrap());
    assert_eq!(asked(&db, &build, "ada").await, Cancelled::TooLate);
    assert_eq!(story(&db, &build).await, (BuildState::Succeeded, None));
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_builder_that_dies_does_not_bring_it_back(db: PgPool) {
    let app = demo(&db).await;
    let (build, _) = running(&db, &app, 'a').await;
    assert_eq!(asked(&db, &build, "ada").await, Cancelled::Asked);
    sqlx::query("update job set lease_until = now() - interval '1 second' where state = 'running'")
        .execute(&db)
        .await
        .unwrap();
    queue::sweep(&db).await.unwrap();
    // The next builder finds nothing to begin, and ends it.
    let Some(job) = claimed(&db).await else { panic!("its job waits for somebody who ends it") };
    let mut conn = db.acquire().await.unwrap();
    assert!(!build::start(&mut conn, build.id, job.attempt).await.unwrap());
    assert!(queue::finish(&mut conn, &job, Outcome::Cancelled).await.unwrap());
    assert!(build::stop(&mut conn, &build).await.unwrap());
    assert_eq!(story(&db, &build).await, by("ada"));
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn one_that_waits_for_its_next_attempt_ends_at_once(db: PgPool) {
    let app = demo(&db).await;
    let (build, job) = running(&db, &app, 'a').await;
    let retry = Outcome::Retry { error: "BuildKit was lost", delay: LEASE };
    assert!(queue::finish(&mut db.acquire().await.unwrap(), &job, retry).await.unwrap());
    assert_eq!(asked(&db, &build, "ada").await, Cancelled::Ended);
    assert_eq!(story(&db, &build).await, by("ada"));
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_deleted_branch_stops_what_runs_and_names_nobody(db: PgPool) {
    let app = demo(&db).await;
    let (build, job) = running(&db, &app, 'a').await;
    let mut tx = db.begin().await.unwrap();
    branch::delete(&mut tx, build.branch_id).await.unwrap();
    tx.commit().await.unwrap();
    let mut conn = db.acquire().await.unwrap();
    assert!(queue::finish(&mut conn, &job, Outcome::Done).await.unwrap());
    assert!(!build::succeed(&mut conn, build.id, "sha256:1").await.unwrap());
    assert_eq!(story(&db, &build).await, (BuildState::Cancelled, None));
    assert!(reload(&db, &build).await.cancelled_at.is_some());
}

/// Whoever is first wins, and everybody agrees on who that was.
#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_wish_and_the_end_at_once(db: PgPool) {
    let app = demo(&db).await;
    for round in 0..20 {
        let (build, job) = running(&db, &app, if round % 2 == 0 { 'a' } else { 'b' }).await;
        let ending = async {
            let mut tx = db.begin().await.unwrap();
            assert!(queue::finish(&mut tx, &job, Outcome::Done).await.unwrap());
            let succeeded = build::succeed(&mut tx, build.id, "sha256:1").await.unwrap();
            tx.commit().await.unwrap();
            succeeded
        };
        let (succeeded, cancelled) = tokio::join!(ending, asked(&db, &build, "ada"));
        let expected = if succeeded {
            (Cancelled::TooLate, (BuildState::Succeeded, None))
        } else {
            (Cancelled::Asked, by("ada"))
        };
        assert_eq!((cancelled, story(&db, &build).await), expected);
    }
}

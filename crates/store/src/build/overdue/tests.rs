//! Builds whose job is gone, and what becomes of them.

use domain::state::BuildState;

use super::*;
use crate::app::{App, NewApp};
use crate::{build, queue};

async fn demo(db: &PgPool) -> App {
    let mut conn = db.acquire().await.unwrap();
    crate::app::create(&mut conn, &NewApp::pushed("demo", "main")).await.unwrap().unwrap()
}

async fn pushed(db: &PgPool, app: &App, commit: char) -> Build {
    let mut tx = db.begin().await.unwrap();
    let main = branch::touch(&mut tx, app.id, "main").await.unwrap();
    let build = push::record(&mut tx, &main, &commit.to_string().repeat(40)).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    build
}

async fn state(db: &PgPool, build: &Build) -> BuildState {
    build::get(db, build.id).await.unwrap().unwrap().state.0
}

/// As if all that is there had happened so much earlier.
async fn later(db: &PgPool, seconds: i32) {
    for statement in [
        "update build set created_at = created_at - make_interval(secs => $1)",
        "update job set finished_at = finished_at - make_interval(secs => $1)",
    ] {
        sqlx::query(statement).bind(f64::from(seconds)).execute(db).await.unwrap();
    }
}

async fn end_jobs(db: &PgPool, build: &Build) {
    sqlx::query(
        "update job set state = 'superseded', finished_at = now(), lease = null, lease_owner = null, lease_until = null, seat = null
         where subject = $1",
    )
    .bind(build.id)
    .execute(db)
    .await
    .unwrap();
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_build_without_a_job_is_queued_again(db: PgPool) {
    let app = demo(&db).await;
    let build = pushed(&db, &app, 'a').await;
    later(&db, JOBLESS_MAX + 1).await;
    assert_eq!(repair(&db).await.unwrap(), Repaired::default(), "its job waits");
    end_jobs(&db, &build).await;
    assert_eq!(repair(&db).await.unwrap(), Repaired::default(), "not at once");
    later(&db, JOBLESS_MAX + 1).await;
    assert_eq!(repair(&db).await.unwrap(), Repaired { queued_again: 1, ended: 0 });
    assert_eq!(repair(&db).await.unwrap(), Repaired::default(), "once");
    let job = queue::claim(&db, &[JobKind::Build], "w", worker::LEASE).await.unwrap().unwrap();
    assert_eq!((job.subject, job.attempt), (build.id, 1));
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn one_that_is_not_the_newest_gives_way(db: PgPool) {
    let app = demo(&db).await;
    let first = pushed(&db, &app, 'a').await;
    let job = queue::claim(&db, &[JobKind::Build], "w", worker::LEASE).await.unwrap().unwrap();
    let mut conn = db.acquire().await.unwrap();
    assert!(build::start(&mut conn, first.id, job.attempt).await.unwrap());
    let second = pushed(&db, &app, 'b').await;
    end_jobs(&db, &first).await;
    later(&db, JOBLESS_MAX + 1).await;
    assert_eq!(repair(&db).await.unwrap(), Repaired { queued_again: 0, ended: 1 });
    let first = build::get(&db, first.id).await.unwrap().unwrap();
    assert_eq!((first.state.0, first.superseded_by), (BuildState::Superseded, Some(second.id)));
    assert_eq!(state(&db, &second).await, BuildState::Queued);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn one_whose_job_was_deleted_ends(db: PgPool) {
    let app = demo(&db).await;
    let build = pushed(&db, &app, 'a').await;
    sqlx::query("delete from job").execute(&db).await.unwrap();
    later(&db, JOBLESS_MAX + 1).await;
    assert_eq!(repair(&db).await.unwrap(), Repaired { queued_again: 0, ended: 1 });
    assert_eq!(state(&db, &build).await, BuildState::Cancelled);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn no_build_is_under_way_for_ever(db: PgPool) {
    let app = demo(&db).await;
    let build = pushed(&db, &app, 'a').await;
    later(&db, UNDER_WAY_MAX + 1).await;
    assert_eq!(repair(&db).await.unwrap(), Repaired { queued_again: 0, ended: 1 });
    let build = build::get(&db, build.id).await.unwrap().unwrap();
    assert_eq!(build.state.0, BuildState::Failed);
    assert_eq!(build.reason.unwrap().code, ReasonCode::LeaseLost);
}

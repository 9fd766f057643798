//! What can be built again, and how it stands in the queue.

use domain::job::JobKind;
use domain::push_options::PushOptions;
use domain::reason::{Reason, ReasonCode};
use domain::state::BuildState;
use sqlx::PgPool;

use super::*;
use crate::app::{self, App, NewApp};
use crate::push::Intent;
use crate::queue::{self, Job, Outcome};
use crate::worker::LEASE;
use crate::{build, push};

async fn demo(db: &PgPool, name: &str) -> App {
    let mut conn = db.acquire().await.unwrap();
    app::create(&mut conn, &NewApp::pushed(name, "main")).await.unwrap().unwrap()
}

/// By `git push`, for an environment of its own.
async fn pushed(db: &PgPool, app: &App, letter: char) -> Build {
    let mut tx = db.begin().await.unwrap();
    let options =
        PushOptions { environment: Some("try".to_owned()), ttl_seconds: Some(60), ..PushOptions::default() };
    let new = letter.to_string().repeat(40);
    let id = Uuid::now_v7();
    let intent =
        Intent { id, app_id: app.id, branch: "main", old: None, new: &new, pusher: "ann", options: &options };
    push::begin(&mut tx, &intent).await.unwrap();
    let held = push::hold(&mut tx, id).await.unwrap().unwrap();
    let build = push::accept(&mut tx, &held).await.unwrap();
    tx.commit().await.unwrap();
    build
}

async fn claimed(db: &PgPool) -> Job {
    queue::claim(db, &[JobKind::Build], "w", LEASE).await.unwrap().unwrap()
}

async fn failed(db: &PgPool, build: &Build) {
    let job = claimed(db).await;
    assert_eq!(job.subject, build.id);
    let mut tx = db.begin().await.unwrap();
    assert!(queue::finish(&mut tx, &job, Outcome::Failed { error: "x" }).await.unwrap());
    assert!(build::start(&mut tx, build.id, 1).await.unwrap());
    let reason = Reason::new(ReasonCode::StepFailed, "a step failed");
    assert!(build::fail(&mut tx, build.id, &reason).await.unwrap());
    tx.commit().await.unwrap();
}

async fn asked(db: &PgPool, build: &Build) -> Rebuilt {
    let mut tx = db.begin().await.unwrap();
    let rebuilt = ask(&mut tx, build, "ben", true).await.unwrap();
    tx.commit().await.unwrap();
    rebuilt
}

async fn again(db: &PgPool, build: &Build) -> Build {
    match asked(db, build).await {
        Rebuilt::Queued(new) => *new,
        refused @ (Rebuilt::UnderWay(_) | Rebuilt::Older { .. } | Rebuilt::Moved) => panic!("{refused:?}"),
    }
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_commit_is_built_again_as_it_was_for_whoever_asked(db: PgPool) {
    let app = demo(&db, "demo").await;
    let first = pushed(&db, &app, 'a').await;
    failed(&db, &first).await;
    let new = again(&db, &first).await;
    assert_eq!((new.number, new.rebuild_of, new.pusher.as_deref()), (2, Some(1), Some("ben")));
    assert_eq!((&new.commit, new.environment.as_str()), (&first.commit, "try"));
    assert_eq!((new.no_cache, new.ttl_seconds), (true, Some(60)));
    assert_eq!(new.state.0, BuildState::Queued);
    let own = build::of_push(&db, push_of(&db, &new).await).await.unwrap().unwrap();
    assert_eq!(own.id, new.id, "each build has a push of its own");
    failed(&db, &new).await;
    // Through the build that was asked for again, as well as through the newest.
    assert_eq!(again(&db, &first).await.rebuild_of, Some(1));
}

async fn push_of(db: &PgPool, build: &Build) -> Uuid {
    sqlx::query_scalar("select push_id from build where id = $1").bind(build.id).fetch_one(db).await.unwrap()
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn who_pushes_is_served_first(db: PgPool) {
    let (app, other) = (demo(&db, "demo").await, demo(&db, "other").await);
    let first = pushed(&db, &app, 'a').await;
    failed(&db, &first).await;
    let new = again(&db, &first).await;
    let someone = pushed(&db, &other, 'b').await;
    assert_eq!(claimed(&db).await.subject, someone.id);
    assert_eq!(claimed(&db).await.subject, new.id);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn what_is_under_way_older_or_gone_is_not_built_again(db: PgPool) {
    let app = demo(&db, "demo").await;
    let first = pushed(&db, &app, 'a').await;
    assert!(matches!(asked(&db, &first).await, Rebuilt::UnderWay(1)));
    failed(&db, &first).await;
    let second = pushed(&db, &app, 'b').await;
    assert!(matches!(asked(&db, &first).await, Rebuilt::Older { newest: 2 }));
    failed(&db, &second).await;
    let mut conn = db.acquire().await.unwrap();
    branch::delete(&mut conn, second.branch_id).await.unwrap();
    assert!(matches!(asked(&db, &second).await, Rebuilt::Moved));
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn the_pin_of_a_commit_is_needed_as_long_as_it_is_the_newest(db: PgPool) {
    let app = demo(&db, "demo").await;
    let first = pushed(&db, &app, 'a').await;
    let pin = [push_of(&db, &first).await];
    failed(&db, &first).await;
    let new = again(&db, &first).await;
    assert_eq!(push::needless(&db, &pin).await.unwrap(), [] as [Uuid; 0], "its commit is being built again");
    failed(&db, &new).await;
    pushed(&db, &app, 'b').await;
    assert_eq!(push::needless(&db, &pin).await.unwrap(), pin);
}

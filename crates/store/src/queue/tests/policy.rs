//! What becomes of a branch's builds when a newer commit arrives, by its policy: with pushes as the receiver records them.

use domain::state::BuildState;

use super::end;
use super::turns::{app, take};
use crate::branch::{self, Branch};
use crate::build::{self, Build};
use crate::queue::*;
use crate::{push, team};

async fn with_policy(db: &PgPool, policy: BuildPolicy) -> Branch {
    let app_id = app(db, "demo").await;
    let mut conn = db.acquire().await.unwrap();
    let main = branch::touch(&mut conn, app_id, "main").await.unwrap();
    team::set_policy(&mut conn, main.id, policy).await.unwrap();
    main
}

async fn pushed(db: &PgPool, main: &Branch, letter: char) -> Build {
    let mut tx = db.begin().await.unwrap();
    let main = branch::get(db, main.id).await.unwrap().unwrap();
    let build = push::record(&mut tx, &main, &letter.to_string().repeat(40)).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    build
}

async fn state(db: &PgPool, build: &Build) -> BuildState {
    build::get(db, build.id).await.unwrap().unwrap().state.0
}

async fn is_told_to_stop(db: &PgPool, job: &Job) -> bool {
    beat(db, job, Duration::from_secs(30)).await.unwrap() == Beat::CancelRequested
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn the_newest_stops_what_runs_and_replaces_what_waits(db: PgPool) {
    let main = with_policy(&db, BuildPolicy::Newest).await;
    pushed(&db, &main, 'a').await;
    let running = take(&db).await.unwrap();
    let second = pushed(&db, &main, 'b').await;
    assert!(is_told_to_stop(&db, &running).await);
    let third = pushed(&db, &main, 'c').await;
    assert_eq!(
        (state(&db, &second).await, state(&db, &third).await),
        (BuildState::Superseded, BuildState::Queued)
    );
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn what_runs_may_finish_first(db: PgPool) {
    let main = with_policy(&db, BuildPolicy::FinishRunning).await;
    pushed(&db, &main, 'a').await;
    let running = take(&db).await.unwrap();
    let second = pushed(&db, &main, 'b').await;
    let third = pushed(&db, &main, 'c').await;
    assert!(!is_told_to_stop(&db, &running).await);
    assert_eq!(state(&db, &second).await, BuildState::Superseded, "the newest of those that wait");
    assert!(take(&db).await.is_none());
    assert!(end(&db, &running, Outcome::Done).await);
    assert_eq!(take(&db).await.unwrap().subject, third.id);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn every_commit_is_built_in_its_order(db: PgPool) {
    let main = with_policy(&db, BuildPolicy::Every).await;
    let change = team::Change { build_limit: Some(3), ..team::Change::default() };
    assert!(team::change_share(&mut db.acquire().await.unwrap(), main.app_id, &change).await.unwrap());
    let mut builds = Vec::new();
    for letter in ['a', 'b', 'c', 'd'] {
        builds.push(pushed(&db, &main, letter).await);
    }
    let first = take(&db).await.unwrap();
    assert_eq!(first.subject, builds[0].id);
    assert!(!is_told_to_stop(&db, &first).await);
    assert!(take(&db).await.is_none(), "one of a branch at a time, whatever the application's limit");
    let pause = Outcome::Retry { error: "x", delay: Duration::from_secs(60) };
    assert!(end(&db, &first, pause).await);
    assert!(take(&db).await.is_none(), "a newer commit does not go live before an older one");
    let mut conn = db.acquire().await.unwrap();
    assert!(!build::stop(&mut conn, &builds[0]).await.unwrap(), "it waits for its own next attempt");
    sqlx::query("update job set run_at = now()").execute(&db).await.unwrap();
    for build in &builds[..2] {
        assert_eq!(state(&db, build).await, BuildState::Queued);
        let job = take(&db).await.unwrap();
        assert_eq!(job.subject, build.id);
        assert!(end(&db, &job, Outcome::Done).await);
    }
    assert!(cancel(&mut conn, JobKind::Build, &main.id.to_string(), builds[2].id).await.unwrap());
    assert_eq!(cancel_lane(&mut conn, JobKind::Build, &main.id.to_string()).await.unwrap(), [builds[3].id]);
    assert!(take(&db).await.is_none());
}

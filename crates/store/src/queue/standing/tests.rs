//! Standings against a real PostgreSQL.

use domain::job::JobKind;

use super::*;
use crate::app::{self, NewApp};
use crate::build::Build;
use crate::queue::{self, Job, Outcome};
use crate::team::{self, Change};
use crate::{branch, build, push};

async fn pushed(db: &PgPool, name: &str, branch: &str) -> Build {
    let mut tx = db.begin().await.unwrap();
    let app = match app::by_name(db, name).await.unwrap() {
        Some(app) => app,
        None => app::create(&mut tx, &NewApp::pushed(name, "main")).await.unwrap().unwrap(),
    };
    let branch = branch::touch(&mut tx, app.id, branch).await.unwrap();
    let build = push::record(&mut tx, &branch, &"a".repeat(40)).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    build
}

async fn of(db: &PgPool, build: &Build) -> Standing {
    of_build(db, build.id).await.unwrap().unwrap()
}

async fn claimed(db: &PgPool) -> Job {
    queue::claim(db, &[JobKind::Build], "w", crate::worker::LEASE).await.unwrap().unwrap()
}

async fn finish(db: &PgPool, job: &Job, outcome: Outcome<'_>) {
    let mut tx = db.begin().await.unwrap();
    assert!(queue::finish(&mut tx, job, outcome).await.unwrap());
    tx.commit().await.unwrap();
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn who_waits_knows_its_place_and_what_holds_it(db: PgPool) {
    let first = pushed(&db, "demo", "main").await;
    let alone = of(&db, &first).await;
    assert_eq!((alone.position, alone.waiting, alone.running, &alone.why), (1, 1, 0, &Why::Builder));
    assert_eq!((alone.attempt, alone.attempt_max, &alone.error, alone.starts_in), (0, 4, &None, None));
    let second = pushed(&db, "demo", "feature").await;
    let third = pushed(&db, "shop", "main").await;
    for app in ["a", "b", "c"] {
        pushed(&db, app, "main").await;
    }
    let last = pushed(&db, "last", "main").await;

    let job = claimed(&db).await;
    assert_eq!(job.subject, first.id);
    assert_eq!(of_build(&db, first.id).await.unwrap(), None, "it runs");
    let held = of(&db, &second).await;
    assert_eq!((held.position, held.waiting, held.running), (6, 6, 1), "all others come first");
    assert_eq!(held.why, Why::App { number: first.number, limit: 1 });
    assert_eq!(of(&db, &third).await.why, Why::Builder, "another application's build holds nobody");
    let last = of(&db, &last).await;
    assert_eq!((last.position, &last.why), (5, &Why::Turn));
    let named: Vec<_> = last.ahead.iter().map(|it| (it.app.as_str(), it.number)).collect();
    assert_eq!(named, [("shop", third.number), ("a", 1), ("b", 1)]);

    finish(&db, &job, Outcome::Retry { error: "BuildKit did not answer", delay: Duration::from_secs(60) })
        .await;
    let back = of(&db, &first).await;
    assert_eq!((back.attempt, &back.why), (1, &Why::Pause));
    assert_eq!(back.error.as_deref(), Some("BuildKit did not answer"));
    assert!(back.pause > Duration::from_secs(30) && back.pause <= Duration::from_secs(60));
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn the_start_is_estimated_from_what_builds_took(db: PgPool) {
    let past = pushed(&db, "demo", "main").await;
    finish(&db, &claimed(&db).await, Outcome::Done).await;
    sqlx::query(
        "update build set state = 'succeeded', started_at = now() - interval '40 s', finished_at = now() where id = $1",
    )
    .bind(past.id)
    .execute(&db)
    .await
    .unwrap();
    let running = pushed(&db, "demo", "main").await;
    let job = claimed(&db).await;
    assert!(build::start(&mut db.acquire().await.unwrap(), running.id, job.attempt).await.unwrap());
    let next = pushed(&db, "demo", "feature").await;
    let other = pushed(&db, "demo", "other").await;
    let seconds = |standing: &Standing| standing.starts_in.unwrap().as_secs();
    let standing = of(&db, &next).await;
    assert!((30..=40).contains(&seconds(&standing)), "{standing:?}");
    let standing = of(&db, &other).await;
    assert!((70..=80).contains(&seconds(&standing)), "{standing:?}");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn limits_are_named(db: PgPool) {
    let first = pushed(&db, "demo", "main").await;
    let mut conn = db.acquire().await.unwrap();
    team::set(&mut conn, "web", None, Some(Some(1))).await.unwrap();
    let change = Change { team: Some("web"), build_limit: Some(2), weight: None };
    assert!(team::change_share(&mut conn, first.app_id, &change).await.unwrap());
    claimed(&db).await;
    let second = pushed(&db, "demo", "feature").await;
    let newer = pushed(&db, "demo", "main").await;
    assert_eq!(of(&db, &second).await.why, Why::Team { name: "web".to_owned(), limit: 1 });
    assert_eq!(of(&db, &newer).await.why, Why::Branch { number: first.number });
    team::set(&mut conn, "web", None, Some(None)).await.unwrap();
    assert_eq!(of(&db, &second).await.why, Why::Builder);
}

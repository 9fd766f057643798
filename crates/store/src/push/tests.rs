//! Pushes to Slipway's own remote, from the intent to the head that git shows, on a real PostgreSQL.

use domain::job::JobKind;
use domain::push_options::PushOptions;
use domain::state::{BuildState, PushState};
use sqlx::PgPool;
use uuid::Uuid;

use super::{Intent, accept, begin, end, forgotten, get, hold, is_overtaken, needless, states};
use crate::app::{App, NewApp};
use crate::build::Build;
use crate::environment::NewEnvironment;
use crate::queue::Outcome;
use crate::release::NewRelease;
use crate::tests::somebody_waits;
use crate::{app, branch, build, environment, queue, release, worker};

async fn demo(db: &PgPool) -> App {
    app::create(&mut db.acquire().await.unwrap(), &NewApp::pushed("demo", "main")).await.unwrap().unwrap()
}

fn commit(letter: char) -> String {
    letter.to_string().repeat(40)
}

async fn intended(db: &PgPool, app: &App, branch: &str, letter: char, options: &PushOptions) -> Uuid {
    let id = Uuid::now_v7();
    let new = commit(letter);
    let intent = Intent { id, app_id: app.id, branch, old: None, new: &new, pusher: "ann", options };
    begin(&mut db.acquire().await.unwrap(), &intent).await.unwrap();
    id
}

async fn accepted(db: &PgPool, id: Uuid) -> Build {
    let mut tx = db.begin().await.unwrap();
    let held = hold(&mut tx, id).await.unwrap().unwrap();
    let build = accept(&mut tx, &held).await.unwrap();
    tx.commit().await.unwrap();
    build
}

async fn pushed(db: &PgPool, app: &App, letter: char) -> Build {
    let id = intended(db, app, "main", letter, &PushOptions::default()).await;
    accepted(db, id).await
}

/// Builds it and makes it live, as builder and deployer do.
async fn brought_live(db: &PgPool, build: &Build) {
    let job = queue::claim(db, &[JobKind::Build], "w", worker::LEASE).await.unwrap().unwrap();
    assert_eq!(job.subject, build.id);
    let mut tx = db.begin().await.unwrap();
    assert!(queue::finish(&mut tx, &job, Outcome::Done).await.unwrap());
    assert!(build::start(&mut tx, build.id, 1).await.unwrap());
    assert!(build::succeed(&mut tx, build.id, "sha256:1").await.unwrap());
    let new = NewEnvironment {
        app_id: build.app_id,
        branch_id: build.branch_id,
        name: &build.environment,
        namespace: "env-demo--main",
        ttl_seconds: None,
    };
    let environment = environment::ensure(&mut tx, &new).await.unwrap();
    let new = NewRelease { build_id: build.id, image: "r/demo@sha256:1", port: 8080, health_path: "/" };
    let release = release::create(&mut tx, &environment, &new).await.unwrap();
    assert!(release::start(&mut tx, release.id, &serde_json::json!([])).await.unwrap());
    assert!(release::make_live(&mut tx, &release).await.unwrap());
    tx.commit().await.unwrap();
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn an_accepted_push_has_one_build_that_is_made_as_it_said(db: PgPool) {
    let app = demo(&db).await;
    let options = PushOptions {
        environment: Some("try".to_owned()),
        no_cache: true,
        ttl_seconds: Some(3600),
        ..PushOptions::default()
    };
    let id = intended(&db, &app, "feature", 'a', &options).await;
    let push = get(&db, id).await.unwrap().unwrap();
    assert_eq!((push.state.0, push.options.0), (PushState::Receiving, options));
    let build = accepted(&db, id).await;
    assert_eq!((build.number, build.environment.as_str(), build.pusher.as_deref()), (1, "try", Some("ann")));
    assert!(build.no_cache && build.ttl_seconds == Some(3600));
    assert_eq!(states(&db, &[id]).await.unwrap()[0].1.0, PushState::Accepted);
    assert_eq!(build::of_push(&db, id).await.unwrap().unwrap().id, build.id);
    let mut conn = db.acquire().await.unwrap();
    assert!(!end(&mut conn, id, PushState::Aborted, None).await.unwrap(), "what is accepted stays so");
    assert!(
        sqlx::query("update push set generation = null where id = $1").bind(id).execute(&db).await.is_err()
    );
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn an_accepted_push_moves_its_branch_and_takes_the_place_of_what_waits(db: PgPool) {
    let app = demo(&db).await;
    let first = pushed(&db, &app, 'a').await;
    let elsewhere = accepted(&db, intended(&db, &app, "other", 'a', &PushOptions::default()).await).await;
    let id = intended(&db, &app, "main", 'b', &PushOptions::default()).await;
    let mut tx = db.begin().await.unwrap();
    let held = hold(&mut tx, id).await.unwrap().unwrap();
    let before = (held.branch.name.as_str(), held.branch.app_id, held.branch.commit.as_deref());
    assert_eq!(before, ("main", app.id, Some(commit('a').as_str())));
    let second = accept(&mut tx, &held).await.unwrap();
    tx.commit().await.unwrap();

    let state = async |id| build::get(&db, id).await.unwrap().unwrap();
    let superseded = state(first.id).await;
    assert_eq!((superseded.state.0, superseded.superseded_by), (BuildState::Superseded, Some(second.id)));
    assert_eq!(state(elsewhere.id).await.state.0, BuildState::Queued);
    assert_eq!((first.number, elsewhere.number, second.number), (1, 2, 3));
    let branch = branch::get(&db, second.branch_id).await.unwrap().unwrap();
    assert_eq!((branch.commit, branch.generation), (Some(commit('b')), held.branch.generation + 1));
    let generation: Option<i32> = sqlx::query_scalar("select generation from push where id = $1")
        .bind(id)
        .fetch_one(&db)
        .await
        .unwrap();
    assert_eq!(generation, Some(branch.generation));

    // Whoever has waited for the lock with what it knew before makes no second build of it.
    let mut tx = db.begin().await.unwrap();
    let error = accept(&mut tx, &held).await.unwrap_err();
    assert!(error.to_string().contains("although it is locked"), "{error}");
    tx.rollback().await.unwrap();
    let builds: i64 = sqlx::query_scalar("select count(*) from build").fetch_one(&db).await.unwrap();
    assert_eq!(builds, 3);
}

/// Two receivers' requests for one push: the second sees what the first has done.
#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn who_waits_for_a_push_finds_it_decided(db: PgPool) {
    let app = demo(&db).await;
    let id = intended(&db, &app, "main", 'a', &PushOptions::default()).await;
    let mut first = db.begin().await.unwrap();
    let held = hold(&mut first, id).await.unwrap().unwrap();
    let build = accept(&mut first, &held).await.unwrap();
    let second = async {
        let mut tx = db.begin().await.unwrap();
        hold(&mut tx, id).await.unwrap().unwrap()
    };
    let committing = async {
        somebody_waits(&db).await;
        first.commit().await.unwrap();
    };
    let (found, ()) = tokio::join!(second, committing);
    assert_eq!(found.push.state.0, PushState::Accepted);
    assert_eq!(found.branch.generation, held.branch.generation + 1);
    assert_eq!(found.in_flight.map(|it| it.id), Some(build.id));
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_push_finds_what_is_in_flight_and_what_is_live(db: PgPool) {
    let app = demo(&db).await;
    let first = pushed(&db, &app, 'a').await;
    assert_eq!(first.environment, "main");
    let id = intended(&db, &app, "main", 'a', &PushOptions::default()).await;
    let mut tx = db.begin().await.unwrap();
    let held = hold(&mut tx, id).await.unwrap().unwrap();
    assert_eq!(held.in_flight.map(|it| it.id), Some(first.id));
    assert!(held.live.is_none());
    assert!(end(&mut tx, id, PushState::Attached, None).await.unwrap());
    tx.commit().await.unwrap();

    brought_live(&db, &first).await;
    assert_eq!(branch::heads(&db, app.id).await.unwrap(), [("main".to_owned(), commit('a'))]);
    for (letter, live) in [('b', None), ('a', Some(first.id))] {
        let id = intended(&db, &app, "main", letter, &PushOptions::default()).await;
        let mut tx = db.begin().await.unwrap();
        let held = hold(&mut tx, id).await.unwrap().unwrap();
        assert!(held.in_flight.is_none());
        assert_eq!(held.live.map(|it| it.id), live, "{letter}");
    }
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn the_head_is_the_newest_commit_that_was_live(db: PgPool) {
    let app = demo(&db).await;
    let first = pushed(&db, &app, 'a').await;
    brought_live(&db, &first).await;
    let second = pushed(&db, &app, 'b').await;
    assert_eq!(branch::heads(&db, app.id).await.unwrap()[0].1, commit('a'), "not before it is live");
    brought_live(&db, &second).await;
    let mut conn = db.acquire().await.unwrap();
    branch::advance_head(&mut conn, first.id).await.unwrap();
    assert_eq!(branch::heads(&db, app.id).await.unwrap()[0].1, commit('b'), "never back to an older build's");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn intents_that_nobody_renews_are_found(db: PgPool) {
    let app = demo(&db).await;
    let id = intended(&db, &app, "main", 'a', &PushOptions::default()).await;
    assert!(forgotten(&db, app.id, 60).await.unwrap().is_empty());
    assert_eq!(forgotten(&db, app.id, 0).await.unwrap()[0].id, id);
    sqlx::query("update push set seen_at = now() - interval '2 minutes'").execute(&db).await.unwrap();
    assert_eq!(forgotten(&db, app.id, 60).await.unwrap()[0].id, id);
    super::renew(&db, id).await.unwrap();
    assert!(forgotten(&db, app.id, 60).await.unwrap().is_empty());
    accepted(&db, id).await;
    assert!(forgotten(&db, app.id, 0).await.unwrap().is_empty());
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_push_whose_user_has_pushed_again_is_overtaken(db: PgPool) {
    let app = demo(&db).await;
    let first = intended(&db, &app, "main", 'a', &PushOptions::default()).await;
    let second = intended(&db, &app, "main", 'b', &PushOptions::default()).await;
    let elsewhere = intended(&db, &app, "other", 'c', &PushOptions::default()).await;
    let overtaken = async |id| is_overtaken(&db, &get(&db, id).await.unwrap().unwrap()).await.unwrap();
    accepted(&db, elsewhere).await;
    assert!(
        !overtaken(first).await,
        "the later one is not decided yet, and the accepted one is of another branch"
    );
    accepted(&db, second).await;
    assert!(overtaken(first).await && !overtaken(second).await);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn pins_are_needed_until_a_newer_build_has_taken_over(db: PgPool) {
    let app = demo(&db).await;
    let id = intended(&db, &app, "main", 'a', &PushOptions::default()).await;
    let first = accepted(&db, id).await;
    let rejected = intended(&db, &app, "main", 'c', &PushOptions::default()).await;
    end(&mut db.acquire().await.unwrap(), rejected, PushState::Rejected, Some("no")).await.unwrap();
    let newer = intended(&db, &app, "main", 'b', &PushOptions::default()).await;
    assert_eq!(needless(&db, &[id, rejected, newer]).await.unwrap(), [rejected]);
    brought_live(&db, &first).await;
    assert_eq!(needless(&db, &[id, newer]).await.unwrap(), [] as [Uuid; 0], "the newest build of its branch");
    accepted(&db, newer).await;
    assert_eq!(needless(&db, &[id, newer]).await.unwrap(), [id]);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_deleted_branch_is_shown_no_more_and_not_built(db: PgPool) {
    let app = demo(&db).await;
    let first = pushed(&db, &app, 'a').await;
    brought_live(&db, &first).await;
    let second = pushed(&db, &app, 'b').await;
    let mut tx = db.begin().await.unwrap();
    branch::delete(&mut tx, first.branch_id).await.unwrap();
    tx.commit().await.unwrap();
    assert!(branch::heads(&db, app.id).await.unwrap().is_empty());
    assert_eq!(build::get(&db, second.id).await.unwrap().unwrap().state.0, BuildState::Cancelled);
    assert!(queue::claim(&db, &[JobKind::Build], "w", worker::LEASE).await.unwrap().is_none());
    assert_eq!(pushed(&db, &app, 'b').await.number, 3, "pushed again it is built again");
}

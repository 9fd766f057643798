//! Which image is next, and every way in which a try can end.

use domain::garbage::Policy;
use serde_json::json;

use super::*;
use crate::app::{self, NewApp};
use crate::build::Build;
use crate::environment::{self, NewEnvironment};
use crate::release::{self, NewRelease};
use crate::{branch, build, garbage, push};

async fn app(db: &PgPool, name: &str) -> Uuid {
    let new = NewApp::pushed(name, "main");
    app::create(&mut db.acquire().await.unwrap(), &new).await.unwrap().unwrap().id
}

/// A build that made this image, whose release waits.
async fn built(db: &PgPool, app: Uuid, digest: &str) -> (Build, release::Release) {
    let mut tx = db.begin().await.unwrap();
    let main = branch::touch(&mut tx, app, "main").await.unwrap();
    let commit = format!("{:0>40}", Uuid::now_v7().simple().to_string());
    let build = push::record(&mut tx, &main, &commit[..40]).await.unwrap().unwrap();
    build::start(&mut tx, build.id, 1).await.unwrap();
    assert!(build::succeed(&mut tx, build.id, digest).await.unwrap());
    build::record_image(&mut tx, &build, "registry/demo", digest, 100).await.unwrap();
    let namespace = format!("{app}-main");
    let new = NewEnvironment {
        app_id: app,
        branch_id: main.id,
        name: "main",
        namespace: &namespace,
        ttl_seconds: None,
    };
    let environment = environment::ensure(&mut tx, &new).await.unwrap();
    let new = NewRelease { build_id: build.id, image: "i", port: 80, health_path: "/" };
    let release = release::create(&mut tx, &environment, &new).await.unwrap();
    want(&mut tx, app, digest).await.unwrap();
    tx.commit().await.unwrap();
    (build, release)
}

async fn live(db: &PgPool, release: &release::Release) {
    let mut conn = db.acquire().await.unwrap();
    assert!(release::start(&mut conn, release.id, &json!([])).await.unwrap());
    assert!(release::make_live(&mut conn, release).await.unwrap());
}

/// As if so many minutes had gone by.
async fn later(db: &PgPool, minutes: i32) {
    sqlx::query("update sbom set due_at = due_at - make_interval(mins => $1)")
        .bind(minutes)
        .execute(db)
        .await
        .unwrap();
}

async fn standing(db: &PgPool, build: &Build) -> Standing {
    of_build(db, build.id).await.unwrap().unwrap()
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn the_newest_comes_first_once_its_release_is_over_the_hill(db: PgPool) {
    let demo = app(&db, "demo").await;
    let (older, first) = built(&db, demo, "sha256:1").await;
    let (newer, second) = built(&db, demo, "sha256:2").await;
    // The newer one's release took the place of the older one's, which waited.
    let one = begin(&db).await.unwrap().unwrap();
    assert_eq!((one.digest.as_str(), one.repository.as_str(), one.attempt), ("sha256:1", "registry/demo", 1));
    assert_eq!(first.environment_id, second.environment_id);
    assert_eq!(begin(&db).await.unwrap(), None, "the newer one's waits still");
    live(&db, &second).await;
    let two = begin(&db).await.unwrap().unwrap();
    assert_eq!(two.digest, "sha256:2");
    assert_eq!(begin(&db).await.unwrap(), None, "both are begun");

    assert_eq!(standing(&db, &newer).await, Standing::Wanted(None));
    assert!(!is_made(&db, newer.id).await.unwrap());
    assert!(finish(&db, &two, "{\"of\": 2}").await.unwrap());
    assert!(!finish(&db, &two, "{}").await.unwrap(), "somebody was faster");
    assert_eq!(standing(&db, &newer).await, Standing::Made("{\"of\": 2}".to_owned()));
    assert!(is_made(&db, newer.id).await.unwrap() && !is_made(&db, older.id).await.unwrap());

    // The same image again is the same document.
    let (same, _) = built(&db, demo, "sha256:2").await;
    assert!(is_made(&db, same.id).await.unwrap());
    later(&db, 60).await;
    assert_eq!(begin(&db).await.unwrap().unwrap().digest, "sha256:1");
    // Another application's is its own.
    let (other, _) = built(&db, app(&db, "other").await, "sha256:2").await;
    assert_eq!(standing(&db, &other).await, Standing::Wanted(None));
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn an_image_whose_release_takes_long_does_not_wait_for_it(db: PgPool) {
    let demo = app(&db, "demo").await;
    built(&db, demo, "sha256:1").await;
    assert_eq!(begin(&db).await.unwrap(), None);
    later(&db, 1).await;
    assert_eq!(begin(&db).await.unwrap().unwrap().attempt, 1);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn tries_end_after_some(db: PgPool) {
    let demo = app(&db, "demo").await;
    let (build, _) = built(&db, demo, "sha256:1").await;
    for (attempt, minutes) in [(1, 1), (2, 4), (3, 16), (4, 64), (5, 0)] {
        later(&db, 1).await;
        let wanted = begin(&db).await.unwrap().unwrap();
        assert_eq!(wanted.attempt, attempt);
        fail(&db, &wanted, "no registry").await.unwrap();
        fail(&db, &Wanted { attempt: attempt - 1, ..wanted }, "late").await.unwrap();
        assert_eq!(begin(&db).await.unwrap(), None);
        if attempt < ATTEMPT_MAX {
            assert_eq!(standing(&db, &build).await, Standing::Wanted(Some("no registry".to_owned())));
        }
        later(&db, minutes - 1).await;
    }
    later(&db, 10_000).await;
    assert_eq!(begin(&db).await.unwrap(), None);
    assert_eq!(standing(&db, &build).await, Standing::GivenUp("no registry".to_owned()));
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn one_that_kills_its_builders_is_given_up(db: PgPool) {
    let demo = app(&db, "demo").await;
    let (build, release) = built(&db, demo, "sha256:1").await;
    live(&db, &release).await;
    for attempt in 1..=ATTEMPT_MAX {
        assert_eq!(begin(&db).await.unwrap().unwrap().attempt, attempt);
        assert_eq!(begin(&db).await.unwrap(), None, "it may be alive");
        later(&db, 15).await;
    }
    assert_eq!(begin(&db).await.unwrap(), None);
    assert_eq!(standing(&db, &build).await, Standing::GivenUp("each builder that read it died".to_owned()));
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_shutdown_counts_nothing(db: PgPool) {
    let demo = app(&db, "demo").await;
    let (_, release) = built(&db, demo, "sha256:1").await;
    live(&db, &release).await;
    let wanted = begin(&db).await.unwrap().unwrap();
    hand_back(&db, &wanted).await.unwrap();
    let again = begin(&db).await.unwrap().unwrap();
    assert_eq!(again, wanted);
    assert!(finish(&db, &again, "{}").await.unwrap());
    hand_back(&db, &again).await.unwrap();
    assert_eq!(begin(&db).await.unwrap(), None, "it is made");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn it_stays_with_the_same_image_in_another_registry(db: PgPool) {
    let demo = app(&db, "demo").await;
    let (_, first) = built(&db, demo, "sha256:1").await;
    let (newer, _) = built(&db, demo, "sha256:1").await;
    sqlx::query("update image set repository = 'former/demo' where build_id = $1")
        .bind(first.build_id)
        .execute(&db)
        .await
        .unwrap();
    let wanted = begin(&db).await.unwrap().unwrap();
    assert_eq!(wanted.repository, "registry/demo", "where the newest is");
    assert!(finish(&db, &wanted, "{}").await.unwrap());
    let gone = garbage::Manifest { repository: "former/demo".to_owned(), digest: "sha256:1".to_owned() };
    sqlx::query("update image set garbage_at = now() where repository = 'former/demo'")
        .execute(&db)
        .await
        .unwrap();
    garbage::end(garbage::begin(&db, &gone).await.unwrap().unwrap()).await.unwrap();
    assert_eq!(standing(&db, &newer).await, Standing::Made("{}".to_owned()));
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn it_goes_with_its_image(db: PgPool) {
    let demo = app(&db, "demo").await;
    let (build, release) = built(&db, demo, "sha256:1").await;
    let (_, newer) = built(&db, demo, "sha256:2").await;
    live(&db, &newer).await;
    assert!(release.id != newer.id);
    let wanted = begin(&db).await.unwrap().unwrap();
    assert!(finish(&db, &wanted, "{}").await.unwrap());
    let strict = Policy { releases: 0, image_days: 0, mirror_days: 0 };
    assert_eq!(garbage::mark(&db, demo, &strict).await.unwrap(), 1);
    for manifest in garbage::marked(&db, None, 10).await.unwrap() {
        assert_eq!(manifest.digest, "sha256:1");
        garbage::end(garbage::begin(&db, &manifest).await.unwrap().unwrap()).await.unwrap();
    }
    assert_eq!(standing(&db, &build).await, Standing::Gone);
    let left: Vec<String> = sqlx::query_scalar("select digest from sbom").fetch_all(&db).await.unwrap();
    assert_eq!(left, ["sha256:2"]);
    // The same image is made once more.
    let (again, _) = built(&db, demo, "sha256:1").await;
    assert_eq!(standing(&db, &again).await, Standing::Wanted(None));
    assert_eq!(of_build(&db, Uuid::nil()).await.unwrap(), None);
}

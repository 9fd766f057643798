//! Who exports, what is imported where, and what of it is garbage.

use sqlx::PgPool;

use super::*;
use crate::app::{self, NewApp};
use crate::garbage::image_counts;

const EVERY: Duration = Duration::from_secs(600);

async fn app(db: &PgPool, name: &str) -> Uuid {
    let new = NewApp::pushed(name, "main");
    app::create(&mut db.acquire().await.unwrap(), &new).await.unwrap().unwrap().id
}

async fn exported(db: &PgPool, app_id: Uuid, digest: &str, input: &[u8], size: i64) {
    let layers = [Layer { digest: "sha256:base", size: 100 }, Layer { digest, size }];
    let exported = Exported { app_id, repository: "registry/demo", digest, input, layers: &layers };
    record(&mut db.acquire().await.unwrap(), &exported).await.unwrap();
}

async fn import(db: &PgPool, app_id: Uuid, worker: &str) -> Option<String> {
    known(db, app_id).await.unwrap().and_then(|it| it.import(worker).map(str::to_owned))
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_buildkit_imports_until_it_has_built_enough_itself(db: PgPool) {
    let (demo, other) = (app(&db, "demo").await, app(&db, "other").await);
    assert_eq!(import(&db, demo, "w1").await, None, "there is nothing to import");
    exported(&db, demo, "sha256:1", b"a", 1).await;
    let one = Some("registry/demo@sha256:1".to_owned());
    for _ in 0..BUILDS_ENOUGH {
        assert_eq!(import(&db, demo, "w1").await, one);
        built(&db, demo, "w1", true).await.unwrap();
        built(&db, other, "w2", true).await.unwrap();
    }
    assert_eq!(import(&db, demo, "w1").await, None);
    assert_eq!(import(&db, demo, "w2").await, one, "it built only another application");
    assert_eq!(import(&db, other, "w1").await, None, "nothing of another application");

    forget(&db, "w1").await.unwrap();
    assert_eq!(import(&db, demo, "w1").await, one, "its cache was set aside");
    built(&db, demo, "w1", false).await.unwrap();
    assert_eq!(import(&db, demo, "w1").await, None, "it made all of it itself");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn what_was_built_long_ago_does_not_count(db: PgPool) {
    let demo = app(&db, "demo").await;
    exported(&db, demo, "sha256:1", b"a", 1).await;
    for _ in 0..BUILDS_ENOUGH {
        built(&db, demo, "w1", true).await.unwrap();
    }
    sqlx::query("update worker_build set built_at = now() - interval '2 days'").execute(&db).await.unwrap();
    assert!(import(&db, demo, "w1").await.is_some());
    built(&db, demo, "w1", true).await.unwrap();
    assert!(import(&db, demo, "w1").await.is_some(), "it counts anew");
    sqlx::query("update worker_build set built_at = now() - interval '40 days'").execute(&db).await.unwrap();
    exported(&db, demo, "sha256:2", b"b", 1).await;
    let left: i64 = sqlx::query_scalar("select count(*) from worker_build").fetch_one(&db).await.unwrap();
    assert_eq!(left, 0);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn an_application_has_one_turn_at_a_time_and_none_for_what_is_there(db: PgPool) {
    let (demo, other) = (app(&db, "demo").await, app(&db, "other").await);
    let turn = async |app, input: Option<&'static [u8]>| take_turn(&db, app, input, EVERY).await.unwrap();
    assert_eq!(turn(demo, Some(b"a")).await, Turn::Taken);
    assert!(matches!(turn(demo, Some(b"a")).await, Turn::After(wait) if wait <= EVERY && wait > EVERY / 2));
    assert_eq!(turn(other, Some(b"a")).await, Turn::Taken);
    give_back(&db, demo).await.unwrap();
    assert_eq!(turn(demo, Some(b"a")).await, Turn::Taken);
    exported(&db, demo, "sha256:1", b"a", 1).await;
    sqlx::query("update cache_turn set taken_at = taken_at - interval '1 hour'").execute(&db).await.unwrap();
    assert_eq!(turn(demo, Some(b"a")).await, Turn::Needless);
    assert_eq!(turn(demo, None).await, Turn::Taken, "a build without a cache has another one");
    sqlx::query("update cache_turn set taken_at = taken_at - interval '1 hour'").execute(&db).await.unwrap();
    assert_eq!(turn(demo, Some(b"b")).await, Turn::Taken);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn the_newest_is_kept_and_counted_and_the_others_go(db: PgPool) {
    let demo = app(&db, "demo").await;
    exported(&db, demo, "sha256:1", b"a", 10).await;
    assert!(garbage(&db, 10).await.unwrap().is_empty());
    exported(&db, demo, "sha256:2", b"b", 20).await;
    let (kept, all) = image_counts(&db).await.unwrap();
    assert_eq!((kept.count, kept.bytes), (1, 120));
    assert_eq!((all.count, all.bytes), (2, 130), "a layer of both is there once");

    let old = garbage(&db, 10).await.unwrap();
    assert_eq!(old.len(), 1);
    let removal = begin(&db, old[0]).await.unwrap().unwrap();
    assert_eq!(removal.reference, "registry/demo@sha256:1");
    drop(removal);
    // It is made again before it went.
    exported(&db, demo, "sha256:1", b"a", 10).await;
    assert!(begin(&db, old[0]).await.unwrap().is_none());
    let old = garbage(&db, 10).await.unwrap();
    let removal = begin(&db, old[0]).await.unwrap().unwrap();
    assert_eq!(removal.reference, "registry/demo@sha256:2");
    end(removal).await.unwrap();
    assert!(garbage(&db, 10).await.unwrap().is_empty());
    assert_eq!(import(&db, demo, "w").await.as_deref(), Some("registry/demo@sha256:1"));

    sqlx::query("delete from app").execute(&db).await.unwrap();
    assert_eq!(image_counts(&db).await.unwrap().0.count, 0);
    assert_eq!(garbage(&db, 10).await.unwrap().len(), 1, "the cache of an application that is gone");
}

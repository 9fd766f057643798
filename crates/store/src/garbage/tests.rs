//! Which images are garbage, on a real PostgreSQL; and who comes to need one just then.

use domain::garbage::GarbageKind;
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use super::sweep::record;
use super::*;
use crate::app::{self, NewApp};
use crate::environment::{self, NewEnvironment};
use crate::release::{self, NewRelease, Release};
use crate::tests::somebody_waits;
use crate::{branch, build, layers, log, push, reuse};

const POLICY: Policy = Policy { releases: 2, image_days: 7, mirror_days: 30 };
const NOTHING_KEPT: Policy = Policy { releases: 0, image_days: 0, mirror_days: 0 };
const REPOSITORY: &str = "registry/demo";

async fn app(db: &PgPool, name: &str) -> Uuid {
    let new = NewApp::pushed(name, "main");
    app::create(&mut db.acquire().await.unwrap(), &new).await.unwrap().unwrap().id
}

/// A build of the branch that made `digest` long ago, and its release in the environment of the same name.
async fn built(db: &PgPool, app: Uuid, on: &str, digest: &str) -> Release {
    let mut tx = db.begin().await.unwrap();
    let branch = branch::touch(&mut tx, app, on).await.unwrap();
    let commit = format!("{:0>40}", Uuid::now_v7().simple().to_string());
    let build = push::record(&mut tx, &branch, &commit[..40]).await.unwrap().unwrap();
    build::start(&mut tx, build.id, 1).await.unwrap();
    assert!(build::succeed(&mut tx, build.id, digest).await.unwrap());
    build::record_image(&mut tx, &build, REPOSITORY, digest, 100).await.unwrap();
    sqlx::query(
        "update image set created_at = now() - interval '8 days', index_digest = $2 where build_id = $1",
    )
    .bind(build.id)
    .bind(format!("index of {}", build.number))
    .execute(&mut *tx)
    .await
    .unwrap();
    let namespace = format!("{app}-{on}");
    let new = NewEnvironment {
        app_id: app,
        branch_id: branch.id,
        name: on,
        namespace: &namespace,
        ttl_seconds: None,
    };
    let environment = environment::ensure(&mut tx, &new).await.unwrap();
    let new = NewRelease { build_id: build.id, image: "i", port: 80, health_path: "/" };
    let release = release::create(&mut tx, &environment, &new).await.unwrap();
    tx.commit().await.unwrap();
    release
}

async fn live(db: &PgPool, release: &Release) {
    let mut conn = db.acquire().await.unwrap();
    assert!(release::start(&mut conn, release.id, &json!([])).await.unwrap());
    assert!(release::make_live(&mut conn, release).await.unwrap());
}

async fn mark_all(db: &PgPool, policy: &Policy) -> Vec<String> {
    for app in apps(db, policy).await.unwrap() {
        mark(db, app, policy).await.unwrap();
    }
    let marked = marked(db, None, 100).await.unwrap();
    let mut digests: Vec<String> = marked.into_iter().map(|it| it.digest).collect();
    digests.sort();
    digests
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn what_is_needed_is_never_marked(db: PgPool) {
    let demo = app(&db, "demo").await;
    // The older one stays live while newer ones fail, roll out and wait.
    let first = built(&db, demo, "main", "1 live").await;
    live(&db, &first).await;
    let failed = built(&db, demo, "main", "2 failed").await;
    let reason = domain::reason::Reason::new(domain::reason::ReasonCode::Internal, "no");
    release::fail(&mut db.acquire().await.unwrap(), failed.id, &reason).await.unwrap();
    let rolling = built(&db, demo, "main", "3 rolls out").await;
    release::start(&mut db.acquire().await.unwrap(), rolling.id, &json!([])).await.unwrap();
    built(&db, demo, "main", "4 waits").await;
    assert_eq!(mark_all(&db, &POLICY).await, ["2 failed"]);
    assert_eq!(mark_all(&db, &NOTHING_KEPT).await, ["2 failed"], "whatever the policy");
    // The one that waits is superseded, and what rolls out becomes live.
    built(&db, demo, "main", "5 waits").await;
    live(&db, &rolling).await;
    assert_eq!(mark_all(&db, &POLICY).await, ["1 live", "2 failed"], "4 and 5 are the newest");
    assert_eq!(mark_all(&db, &NOTHING_KEPT).await, ["1 live", "2 failed", "4 waits"]);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn young_ones_and_the_newest_of_each_branch_are_kept(db: PgPool) {
    let demo = app(&db, "demo").await;
    let gone = built(&db, demo, "gone", "1").await;
    let there = built(&db, demo, "there", "2").await;
    let (_, newest) = (built(&db, demo, "there", "3").await, there.environment_id);
    built(&db, demo, "there", "4 young").await;
    sqlx::query("update image set created_at = now() - interval '6 days' where digest = '4 young'")
        .execute(&db)
        .await
        .unwrap();
    assert_eq!(mark_all(&db, &POLICY).await, ["2"], "all others wait or are among the newest");
    // Their environments are removed, and one of the branches.
    sqlx::query("delete from environment where id = any($1)")
        .bind([gone.environment_id, newest])
        .execute(&db)
        .await
        .unwrap();
    assert_eq!(mark_all(&db, &POLICY).await, ["2", "3"]);
    let mut conn = db.acquire().await.unwrap();
    let branch = branch::by_name(&db, demo, "gone").await.unwrap().unwrap();
    branch::delete(&mut conn, branch.id).await.unwrap();
    assert_eq!(mark_all(&db, &POLICY).await, ["1", "2", "3"]);
    let young = Policy { image_days: 0, ..POLICY };
    assert_eq!(
        mark_all(&db, &young).await,
        ["1", "2", "3"],
        "of the branch that is there the newest is kept"
    );
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_digest_goes_when_no_kept_row_names_it(db: PgPool) {
    let demo = app(&db, "demo").await;
    for digest in ["a", "b", "a", "a"] {
        let release = built(&db, demo, "main", digest).await;
        live(&db, &release).await;
    }
    let first = |digest: &str| Manifest { repository: REPOSITORY.to_owned(), digest: digest.to_owned() };
    assert_eq!(mark_all(&db, &POLICY).await, ["a", "b"]);
    let removal = begin(&db, &first("a")).await.unwrap().unwrap();
    assert_eq!((removal.indices.as_slice(), removal.is_whole), (["index of 1".to_owned()].as_slice(), false));
    assert_eq!(end(removal).await.unwrap(), 1);
    assert_eq!(begin(&db, &first("a")).await.unwrap().map(|it| it.indices), None);
    let removal = begin(&db, &first("b")).await.unwrap().unwrap();
    assert_eq!((removal.indices.as_slice(), removal.is_whole), (["index of 2".to_owned()].as_slice(), true));
    drop(removal);
    // Who died in between left the mark, and another one begins anew.
    assert_eq!(mark_all(&db, &POLICY).await, ["b"]);
    let removal = begin(&db, &first("b")).await.unwrap().unwrap();
    assert_eq!(end(removal).await.unwrap(), 1);
    assert!(mark_all(&db, &POLICY).await.is_empty());
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn no_build_uses_garbage_again(db: PgPool) {
    let demo = app(&db, "demo").await;
    let old = built(&db, demo, "main", "a").await;
    let mut conn = db.acquire().await.unwrap();
    reuse::remember(&mut conn, old.build_id, b"input").await.unwrap();
    assert!(reuse::known(&db, demo, b"input").await.unwrap().is_some());
    for _ in 0..3 {
        let release = built(&db, demo, "main", "b").await;
        live(&db, &release).await;
    }
    assert!(mark_all(&db, &POLICY).await.contains(&"a".to_owned()));
    assert_eq!(reuse::known(&db, demo, b"input").await.unwrap(), None);
    assert!(hold(&mut conn, REPOSITORY, "a").await.unwrap(), "it is there still");
    let removal = begin(&db, &Manifest { repository: REPOSITORY.to_owned(), digest: "a".to_owned() }).await;
    end(removal.unwrap().unwrap()).await.unwrap();
    assert!(!hold(&mut conn, REPOSITORY, "a").await.unwrap(), "the registry has to be asked");
    assert!(hold(&mut conn, "registry/other", "a").await.unwrap());
}

/// Two that end marked, under a policy that keeps nothing more than it must.
async fn two_of_garbage(db: &PgPool) -> (Uuid, Manifest) {
    let demo = app(db, "demo").await;
    for digest in ["a", "b"] {
        let release = built(db, demo, "main", digest).await;
        live(db, &release).await;
    }
    (demo, Manifest { repository: REPOSITORY.to_owned(), digest: "a".to_owned() })
}

/// A build that holds `a` records it as its own.
async fn record_when_somebody_waits(db: &PgPool, mut tx: Transaction<'static, Postgres>, app: Uuid) {
    somebody_waits(db).await;
    let main = branch::touch(&mut tx, app, "main").await.unwrap();
    let build = push::record(&mut tx, &main, &"c".repeat(40)).await.unwrap().unwrap();
    build::start(&mut tx, build.id, 1).await.unwrap();
    assert!(build::succeed(&mut tx, build.id, "a").await.unwrap());
    build::record_image(&mut tx, &build, REPOSITORY, "a", 100).await.unwrap();
    tx.commit().await.unwrap();
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_build_that_records_an_image_before_it_is_removed_keeps_it(db: PgPool) {
    let (demo, manifest) = two_of_garbage(&db).await;
    assert_eq!(mark(&db, demo, &NOTHING_KEPT).await.unwrap(), 1);
    let mut tx = db.begin().await.unwrap();
    assert!(hold(&mut tx, REPOSITORY, "a").await.unwrap());
    let recording = record_when_somebody_waits(&db, tx, demo);
    let (removal, ()) = tokio::join!(begin(&db, &manifest), recording);
    let removal = removal.unwrap().unwrap();
    assert_eq!((removal.indices.as_slice(), removal.is_whole), (["index of 1".to_owned()].as_slice(), false));
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_build_that_ends_while_its_image_is_marked_keeps_it(db: PgPool) {
    let (demo, manifest) = two_of_garbage(&db).await;
    // A build has seen the image of `a` and is about to record it as its own.
    let mut tx = db.begin().await.unwrap();
    assert!(hold(&mut tx, REPOSITORY, "a").await.unwrap());
    let recording = record_when_somebody_waits(&db, tx, demo);
    let (marked, ()) = tokio::join!(mark(&db, demo, &NOTHING_KEPT), recording);
    assert_eq!(marked.unwrap(), 1);
    let removal = begin(&db, &manifest).await.unwrap().unwrap();
    assert_eq!((removal.indices.as_slice(), removal.is_whole), (["index of 1".to_owned()].as_slice(), false));
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_build_that_ends_while_its_image_is_removed_learns_of_it(db: PgPool) {
    let (demo, manifest) = two_of_garbage(&db).await;
    assert_eq!(mark(&db, demo, &NOTHING_KEPT).await.unwrap(), 1);
    let removal = begin(&db, &manifest).await.unwrap().unwrap();
    assert!(removal.is_whole);
    let holding = async { hold(&mut db.begin().await.unwrap(), REPOSITORY, "a").await.unwrap() };
    let removing = async {
        somebody_waits(&db).await;
        end(removal).await.unwrap();
    };
    let (is_there, ()) = tokio::join!(holding, removing);
    assert!(!is_there);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn one_looks_at_a_time_and_not_too_often(db: PgPool) {
    let turn = take_turn(&db, GarbageKind::Images, "", 3600).await.unwrap();
    assert!(turn.is_some());
    assert!(take_turn(&db, GarbageKind::Images, "", 3600).await.unwrap().is_none());
    assert!(take_turn(&db, GarbageKind::Mirrors, "one", 3600).await.unwrap().is_some(), "at another place");
    let kept = Counts { count: 1, bytes: 2 };
    let sweep = Sweep {
        kind: GarbageKind::Images,
        holder: "",
        rule: "All.",
        kept,
        left: Counts::default(),
        removed: kept,
        fault: Some("no"),
    };
    assert_eq!(record(&db, &sweep).await.unwrap(), None);
    turn.unwrap().rollback().await.unwrap();
    assert!(take_turn(&db, GarbageKind::Images, "", 3600).await.unwrap().is_none(), "it was done just now");
    assert!(take_turn(&db, GarbageKind::Images, "", 0).await.unwrap().is_some());
    assert_eq!(record(&db, &sweep).await.unwrap().as_deref(), Some("no"));
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn the_numbers_of_all_places_together(db: PgPool) {
    assert!(overview(&db).await.unwrap().is_empty());
    let counts = |count, bytes| Counts { count, bytes };
    for (holder, fault) in [("one", Some("full")), ("two", None)] {
        let sweep = Sweep {
            kind: GarbageKind::Mirrors,
            holder,
            rule: "Some.",
            kept: counts(3, 300),
            left: counts(1, 10),
            removed: counts(2, 20),
            fault,
        };
        record(&db, &sweep).await.unwrap();
        record(&db, &sweep).await.unwrap();
    }
    // A builder that is gone, and a time that nobody looks back to.
    sqlx::query("insert into sweep (kind, holder, at, rule, kept_count, kept_bytes, removed_count, removed_bytes) values
                 ('mirrors', 'gone', now() - interval '1 day', '', 9, 9, 1, 1), ('mirrors', 'one', now() - interval '31 days', '', 9, 9, 9, 9)")
        .execute(&db)
        .await
        .unwrap();
    log::day::tend(&log::Logs { db: db.clone(), archive: None }, 90).await.unwrap();
    record_logs(&db, 90, None).await.unwrap();
    let shown = overview(&db).await.unwrap();
    let [mirrors, logs] = shown.as_slice() else { panic!("{shown:?}") };
    assert_eq!((mirrors.kind.0, logs.kind.0), (GarbageKind::Mirrors, GarbageKind::Logs));
    assert_eq!((mirrors.kept_count, mirrors.kept_bytes, mirrors.holders), (6, 600, 2));
    assert_eq!((mirrors.left_count, mirrors.left_bytes), (2, 20));
    assert_eq!((mirrors.removed_count, mirrors.removed_bytes), (9, 81));
    assert_eq!(mirrors.faults, ["one: full"]);
    assert!(logs.rule.contains("90 days") && logs.faults.is_empty(), "{logs:?}");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_layer_counts_once(db: PgPool) {
    let (demo, manifest) = two_of_garbage(&db).await;
    let mut conn = db.acquire().await.unwrap();
    let layer = |digest, size| layers::Layer { digest, size };
    for (number, own) in [(1, layer("one", 10)), (2, layer("two", 5))] {
        let build = build::by_number(&db, demo, number).await.unwrap().unwrap();
        layers::record(&mut conn, build.id, &[layer("base", 1000), own, own]).await.unwrap();
    }
    let (kept, all) = image_counts(&db).await.unwrap();
    assert_eq!((kept, all), (Counts { count: 2, bytes: 1015 }, Counts { count: 2, bytes: 1015 }));
    mark(&db, demo, &NOTHING_KEPT).await.unwrap();
    let (kept, all) = image_counts(&db).await.unwrap();
    assert_eq!((kept, all), (Counts { count: 1, bytes: 1005 }, Counts { count: 2, bytes: 1015 }));
    end(begin(&db, &manifest).await.unwrap().unwrap()).await.unwrap();
    assert_eq!(image_counts(&db).await.unwrap().1, kept);
    // Of older ones only the size of all their layers is known.
    sqlx::query("update image set layers = null").execute(&db).await.unwrap();
    assert_eq!(image_counts(&db).await.unwrap().0, Counts { count: 1, bytes: 100 });
}

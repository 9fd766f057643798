//! When an image is used again, and when it is not.

use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use super::*;
use crate::app::{self, NewApp};
use crate::provenance::{Attested, Base};
use crate::{branch, build, push};

const INPUT: &[u8] = b"input";

async fn built(db: &PgPool, app_id: Uuid, commit: char, base_digest: &str) -> Uuid {
    let mut tx = db.begin().await.unwrap();
    let main = branch::touch(&mut tx, app_id, "main").await.unwrap();
    let build = push::record(&mut tx, &main, &commit.to_string().repeat(40)).await.unwrap().unwrap();
    build::start(&mut tx, build.id, 1).await.unwrap();
    assert!(build::succeed(&mut tx, build.id, "sha256:aa").await.unwrap());
    build::record_image(&mut tx, &build, "registry/demo", "sha256:aa", 1).await.unwrap();
    let base = Base { name: "node:22".to_owned(), digest: base_digest.to_owned() };
    let attested = Attested { index_digest: "sha256:ii", predicate: &json!({}), bases: &[base] };
    provenance::record(&mut tx, build.id, &attested).await.unwrap();
    remember(&mut tx, build.id, INPUT).await.unwrap();
    tx.commit().await.unwrap();
    build.id
}

async fn app(db: &PgPool, name: &str) -> Uuid {
    let new = NewApp::pushed(name, "main");
    app::create(&mut db.acquire().await.unwrap(), &new).await.unwrap().unwrap().id
}

async fn age(db: &PgPool, build: Uuid) {
    sqlx::query("update build set finished_at = now() - interval '2 hours' where id = $1")
        .bind(build)
        .execute(db)
        .await
        .unwrap();
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn the_same_input_of_the_same_application(db: PgPool) {
    let demo = app(&db, "demo").await;
    let first = built(&db, demo, 'a', "sha256:b1").await;
    assert_eq!(known(&db, demo, INPUT).await.unwrap().map(|it| it.build_id), Some(first));
    assert_eq!(known(&db, demo, b"other").await.unwrap(), None);
    let other = app(&db, "other").await;
    assert_eq!(known(&db, other, INPUT).await.unwrap(), None, "nothing of another application");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn not_when_a_base_may_have_moved(db: PgPool) {
    let demo = app(&db, "demo").await;
    let first = built(&db, demo, 'a', "sha256:b1").await;
    age(&db, first).await;
    assert_eq!(known(&db, demo, INPUT).await.unwrap(), None, "nobody asked for an hour");
    // Another application's build says that the name still means the same, then that it does not.
    let other = app(&db, "other").await;
    built(&db, other, 'b', "sha256:b1").await;
    assert_eq!(known(&db, demo, INPUT).await.unwrap().map(|it| it.build_id), Some(first));
    built(&db, other, 'c', "sha256:b2").await;
    assert_eq!(known(&db, demo, INPUT).await.unwrap(), None);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn who_used_an_image_again_asked_nobody(db: PgPool) {
    let demo = app(&db, "demo").await;
    let first = built(&db, demo, 'a', "sha256:b1").await;
    let mut tx = db.begin().await.unwrap();
    let main = branch::touch(&mut tx, demo, "main").await.unwrap();
    let again = push::record(&mut tx, &main, &"b".repeat(40)).await.unwrap().unwrap();
    build::start(&mut tx, again.id, 1).await.unwrap();
    build::succeed(&mut tx, again.id, "sha256:aa").await.unwrap();
    build::record_image(&mut tx, &again, "registry/demo", "sha256:aa", 1).await.unwrap();
    record(&mut tx, again.id, first).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(of_build(&db, again.id).await.unwrap(), Some(1));
    assert_eq!(provenance::bases(&db, again.id).await.unwrap(), provenance::bases(&db, first).await.unwrap());
    age(&db, first).await;
    assert_eq!(known(&db, demo, INPUT).await.unwrap(), None);
}

//! Whose trace a build goes on from: that of the delivery that told of its commit.

use sqlx::PgPool;
use store::app::Hook;

use super::{COMMIT, demo, post, push_body, signed};
use crate::hook;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

async fn delivered(db: &PgPool, hook: &Hook, key: &str, trace_parent: &str, is_signed: bool) {
    let body = push_body("main");
    let mut headers = signed(key, &body);
    headers.insert("traceparent", trace_parent.parse().unwrap());
    if !is_signed {
        headers.insert("x-gitea-signature", "0".repeat(64).parse().unwrap());
    }
    post(&hook::router(db.clone()), &hook.id.to_string(), headers, body).await;
}

/// As when the forge says that its branch is this commit: what the push that this makes goes on from.
async fn moved(db: &PgPool, hook: &Hook, commit: &str) -> Option<String> {
    let mut tx = db.begin().await.unwrap();
    let main = store::branch::touch(&mut tx, hook.app_id, "main").await.unwrap();
    store::push::record(&mut tx, &main, commit).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    sqlx::query_scalar("select trace_parent from push order by generation desc limit 1")
        .fetch_one(db)
        .await
        .unwrap()
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_build_goes_on_from_the_delivery_that_told_of_its_commit(db: PgPool) {
    let (_, hook) = demo(&db).await;
    let other = "b".repeat(40);
    assert_eq!(moved(&db, &hook, &other).await, None, "nobody told of it");
    delivered(&db, &hook, "d1", PARENT, true).await;
    assert_eq!(moved(&db, &hook, COMMIT).await.as_deref(), Some(PARENT));
    assert_eq!(moved(&db, &hook, &other).await, None, "of another commit");
    assert_eq!(moved(&db, &hook, COMMIT).await, None, "it was told of what was built before");
    moved(&db, &hook, &other).await;
    delivered(&db, &hook, "d2", &PARENT.replace("b7", "a7"), true).await;
    assert_eq!(moved(&db, &hook, COMMIT).await, Some(PARENT.replace("b7", "a7")));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_parent_that_is_none_or_of_a_stranger_is_not_taken(db: PgPool) {
    let (_, hook) = demo(&db).await;
    delivered(&db, &hook, "d1", PARENT, false).await;
    delivered(&db, &hook, "d1", &PARENT.to_uppercase(), true).await;
    delivered(&db, &hook, "d1", PARENT, true).await;
    let verdicts: Vec<(String, Option<String>)> =
        sqlx::query_as("select verdict, trace_parent from delivery order by id")
            .fetch_all(&db)
            .await
            .unwrap();
    let verdicts: Vec<_> = verdicts.iter().map(|(verdict, parent)| (verdict.as_str(), parent)).collect();
    assert_eq!(verdicts[..2], [("bad signature", &None), ("accepted", &None)]);
    assert_eq!(verdicts[2].0, "duplicate");
    assert_eq!(moved(&db, &hook, COMMIT).await, None);
}

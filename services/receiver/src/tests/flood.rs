//! Many deliveries at once.

use axum::http::HeaderMap;
use domain::job::JobKind;
use sqlx::PgPool;
use tokio::task::JoinSet;

use super::{claim, count, demo, jobs, post, push_body, signed};
use crate::body::Memory;
use crate::{body, hook};

/// The verdicts of 50 deliveries of one push sent at once; `key` names the n-th.
async fn fifty(db: &PgPool, key: impl Fn(usize) -> String) -> Vec<String> {
    let (_, hook) = demo(db).await;
    let (router, id, body) = (hook::router(db.clone()), hook.id.to_string(), push_body("main"));
    let mut sent = JoinSet::new();
    for n in 0..50 {
        let (router, id, headers, body) = (router.clone(), id.clone(), signed(&key(n), &body), body.clone());
        sent.spawn(async move {
            post(&router, &id, headers, body).await.1["verdict"].as_str().unwrap().to_owned()
        });
    }
    sent.join_all().await
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn fifty_deliveries_with_one_id_are_one(db: PgPool) {
    let verdicts = fifty(&db, |_| "d1".to_owned()).await;
    assert_eq!(verdicts.iter().filter(|verdict| *verdict == "accepted").count(), 1);
    assert_eq!(verdicts.iter().filter(|verdict| *verdict == "duplicate").count(), 49);
    assert_eq!(jobs(&db).await, 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn fifty_deliveries_with_fifty_ids_are_one_question(db: PgPool) {
    let verdicts = fifty(&db, |n| format!("d{n}")).await;
    assert!(verdicts.iter().all(|verdict| verdict == "accepted"), "{verdicts:?}");
    assert_eq!((jobs(&db).await, count(&db, "select count(*) from branch").await), (1, 1));
    assert!(claim(&db, JobKind::Resolve).await.is_some());
    assert!(claim(&db, JobKind::Resolve).await.is_none());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_flood_of_refused_deliveries_is_bounded(db: PgPool) {
    let router = hook::router(db.clone());
    for _ in 0..1250 {
        post(&router, "nobody", HeaderMap::new(), "x").await;
    }
    let stored = count(&db, "select count(*) from delivery").await;
    assert!((1000..=1100).contains(&stored), "{stored}");
}

#[tokio::test]
async fn a_body_over_the_limit_is_measured_and_not_kept() {
    let memory = Memory::new();
    let kept = body::read(vec![b'x'; 1000].into(), 1000, &memory).await.unwrap();
    assert!(kept.is_whole() && kept.kept.len() == 1000);
    let dropped = body::read(vec![b'x'; 1001].into(), 1000, &memory).await.unwrap();
    assert_eq!((dropped.is_whole(), dropped.kept.capacity(), dropped.size), (false, 0, 1001));
    assert_eq!(hex::encode(dropped.sha256), {
        use sha2::Digest as _;
        hex::encode(sha2::Sha256::digest(vec![b'x'; 1001]))
    });
}

#[tokio::test]
async fn bodies_wait_for_no_memory_and_give_it_back() {
    let memory = Memory::new();
    let large = || body::read(vec![b'x'; 20 << 20].into(), body::BODY_MAX, &memory);
    let mut held = Vec::new();
    let refused = loop {
        match large().await {
            Ok(received) => held.push(received),
            Err(problem) => break problem,
        }
    };
    assert!((2..=6).contains(&held.len()), "{}", held.len());
    assert!(matches!(refused, host::Problem::Client { status, .. } if status == 503));
    held.clear();
    assert!(large().await.is_ok());
}

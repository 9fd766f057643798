//! The queue against a real PostgreSQL: one test a rule, then two races.

use std::collections::HashSet;
use std::time::Duration;

use domain::job::JobKind;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::*;

mod batches;
mod policy;
mod turns;

const TTL: Duration = Duration::from_secs(30);

async fn push_to(db: &PgPool, lane: &str, lock_key: &str) -> Uuid {
    let subject = Uuid::now_v7();
    let mut tx = db.begin().await.unwrap();
    enqueue(&mut tx, NewJob { lane, ..NewJob::keyed(JobKind::Deploy, lock_key, subject) }).await.unwrap();
    tx.commit().await.unwrap();
    subject
}

async fn push(db: &PgPool, lane: &str) -> Uuid {
    push_to(db, lane, lane).await
}

async fn take(db: &PgPool) -> Option<Job> {
    claim(db, &[JobKind::Deploy], "w", TTL).await.unwrap()
}

async fn end(db: &PgPool, job: &Job, outcome: Outcome<'_>) -> bool {
    let mut tx = db.begin().await.unwrap();
    let held = finish(&mut tx, job, outcome).await.unwrap();
    tx.commit().await.unwrap();
    held
}

async fn states(db: &PgPool) -> Vec<String> {
    sqlx::query_scalar("select state::text from job order by id").fetch_all(db).await.unwrap()
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn newest_push_wins_while_queued(db: PgPool) {
    push(&db, "a").await;
    push(&db, "a").await;
    let newest = push(&db, "a").await;
    let job = take(&db).await.unwrap();
    assert_eq!(job.subject, newest);
    assert!(take(&db).await.is_none());
    assert_eq!(states(&db).await, ["running"]);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn push_asks_the_running_one_to_stop_and_waits_its_turn(db: PgPool) {
    push(&db, "a").await;
    let old = take(&db).await.unwrap();
    assert_eq!(beat(&db, &old, TTL).await.unwrap(), Beat::Held);
    let newest = push(&db, "a").await;
    assert!(take(&db).await.is_none(), "lane busy");
    assert_eq!(beat(&db, &old, TTL).await.unwrap(), Beat::CancelRequested);
    assert!(end(&db, &old, Outcome::Cancelled).await);
    assert_eq!(take(&db).await.unwrap().subject, newest);
    assert_eq!(states(&db).await, ["cancelled", "running"]);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn lanes_of_one_lock_wait_for_each_other_and_stop_nobody(db: PgPool) {
    let first = push_to(&db, "app/main", "app").await;
    let second = push_to(&db, "app/feature", "app").await;
    let other = push_to(&db, "other/main", "other").await;
    let running = take(&db).await.unwrap();
    assert_eq!(running.subject, first);
    assert_eq!(take(&db).await.unwrap().subject, other, "another application does not wait");
    assert!(take(&db).await.is_none(), "the lock is taken");
    assert_eq!(beat(&db, &running, TTL).await.unwrap(), Beat::Held, "another branch stops nobody");
    assert!(end(&db, &running, Outcome::Done).await);
    assert_eq!(take(&db).await.unwrap().subject, second);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn retry_yields_to_newer_push(db: PgPool) {
    push(&db, "a").await;
    let old = take(&db).await.unwrap();
    push(&db, "a").await;
    assert!(end(&db, &old, Outcome::Retry { error: "x", delay: TTL }).await);
    assert_eq!(states(&db).await, ["superseded", "queued"]);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn lost_lease_writes_nothing(db: PgPool) {
    push(&db, "a").await;
    let first = claim(&db, &[JobKind::Deploy], "w1", Duration::ZERO).await.unwrap().unwrap();
    assert_eq!(sweep(&db).await.unwrap(), 1);
    let second = take(&db).await.unwrap();
    assert_eq!((second.id, second.attempt), (first.id, 2));
    assert_eq!(beat(&db, &first, TTL).await.unwrap(), Beat::Lost);
    assert!(!holds(&mut db.acquire().await.unwrap(), &first).await.unwrap());
    assert!(!end(&db, &first, Outcome::Done).await);
    assert!(end(&db, &second, Outcome::Done).await);
    assert_eq!(states(&db).await, ["done"]);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn attempts_are_counted_and_handing_back_is_not(db: PgPool) {
    push(&db, "a").await;
    let job = take(&db).await.unwrap();
    assert_eq!(job.attempt, 1);
    assert!(end(&db, &job, Outcome::HandBack).await);
    for attempt in 1..=4 {
        let job = take(&db).await.unwrap();
        assert_eq!(job.attempt, attempt);
        assert_eq!(job.is_last_attempt(), attempt == 4);
        assert!(end(&db, &job, Outcome::Retry { error: "x", delay: Duration::ZERO }).await);
    }
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_delayed_job_waits_until_a_prompt_one_takes_its_place(db: PgPool) {
    let job = |subject| NewJob::keyed(JobKind::Deploy, "a", subject);
    let mut conn = db.acquire().await.unwrap();
    enqueue_after(&mut conn, job(Uuid::now_v7()), TTL).await.unwrap();
    assert!(take(&db).await.is_none());
    let prompt = Uuid::now_v7();
    enqueue(&mut conn, job(prompt)).await.unwrap();
    assert_eq!(take(&db).await.unwrap().subject, prompt);
}

/// Many pushers and claimers: a lane never runs twice at once, and the last subject of each lane runs last.
#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn lanes_are_serial_under_load(db: PgPool) {
    let mut pushers = tokio::task::JoinSet::new();
    for lane in 0..4 {
        let db = db.clone();
        pushers.spawn(async move {
            let mut last = Uuid::nil();
            for _ in 0..50 {
                last = push(&db, &format!("lane{lane}")).await;
            }
            (lane, last)
        });
    }
    let (mut workers, all_pushed) = (tokio::task::JoinSet::new(), CancellationToken::new());
    for _ in 0..6 {
        let (db, all_pushed) = (db.clone(), all_pushed.clone());
        workers.spawn(async move {
            loop {
                let was_last = all_pushed.is_cancelled();
                if let Some(job) = take(&db).await {
                    assert!(end(&db, &job, Outcome::Done).await);
                } else if was_last {
                    break;
                } else {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        });
    }
    let last: Vec<_> = pushers.join_all().await;
    all_pushed.cancel();
    workers.join_all().await;
    for (lane, subject) in last {
        let latest: Uuid = sqlx::query_scalar(
            "select subject from job where lane = $1 and state = 'done' order by finished_at desc limit 1",
        )
        .bind(format!("lane{lane}"))
        .fetch_one(&db)
        .await
        .unwrap();
        assert_eq!(latest, subject);
    }
    let states: HashSet<_> = states(&db).await.into_iter().collect();
    assert_eq!(states, HashSet::from(["done".to_owned()]));
}

/// Retries, pushes, sweeps and claims race over lanes that share locks; the indexes hold and nobody sees an error.
#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn retries_race_pushes(db: PgPool) {
    let mut tasks = tokio::task::JoinSet::new();
    for lane in 0..4 {
        let db = db.clone();
        tasks.spawn(async move {
            for _ in 0..80 {
                push_to(&db, &format!("lane{lane}"), &format!("lock{}", lane / 2)).await;
            }
        });
    }
    for n in 0..5 {
        let db = db.clone();
        tasks.spawn(async move {
            for i in 0..120 {
                let ttl = if i % 3 == 0 { Duration::ZERO } else { TTL };
                sweep(&db).await.unwrap();
                if let Some(job) = claim(&db, &[JobKind::Deploy], "w", ttl).await.unwrap() {
                    let retry = Outcome::Retry { error: "x", delay: Duration::ZERO };
                    end(&db, &job, if (i + n) % 2 == 0 { retry } else { Outcome::Cancelled }).await;
                }
            }
        });
    }
    tasks.join_all().await;
    let running: i64 =
        sqlx::query_scalar("select count(distinct lock_key) - count(*) from job where state = 'running'")
            .fetch_one(&db)
            .await
            .unwrap();
    assert_eq!(running, 0, "a lock runs one job at a time");
}

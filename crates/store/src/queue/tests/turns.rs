//! Whose turn it is: teams, applications, weights, limits, priorities.

use super::{end, states};
use crate::app::{self, NewApp};
use crate::queue::*;
use crate::team::{self, Change};

const TTL: Duration = Duration::from_secs(30);

pub(super) async fn app(db: &PgPool, name: &str) -> Uuid {
    let mut conn = db.acquire().await.unwrap();
    app::create(&mut conn, &NewApp::pushed(name, "main")).await.unwrap().unwrap().id
}

pub(super) async fn queue_with(
    db: &PgPool,
    app_id: Uuid,
    branch: &str,
    priority: Priority,
    delay: Duration,
) -> Uuid {
    let (subject, key) = (Uuid::now_v7(), format!("{app_id}/{branch}"));
    let job = NewJob { turn_of: Some(app_id), priority, ..NewJob::keyed(JobKind::Build, &key, subject) };
    let mut tx = db.begin().await.unwrap();
    enqueue_after(&mut tx, job, delay).await.unwrap();
    tx.commit().await.unwrap();
    subject
}

pub(super) async fn queue(db: &PgPool, app_id: Uuid, branch: &str) -> Uuid {
    queue_with(db, app_id, branch, Priority::Push, Duration::ZERO).await
}

pub(super) async fn take(db: &PgPool) -> Option<Job> {
    claim(db, &[JobKind::Build], "w", TTL).await.unwrap()
}

/// Whose builds are taken, one at a time, until none waits.
async fn order(db: &PgPool, names: &[(Uuid, char)]) -> String {
    let mut order = String::new();
    while let Some(job) = take(db).await {
        let is = |(app_id, _): &&(Uuid, char)| job.lock_key.starts_with(&app_id.to_string());
        order.push(names.iter().find(is).unwrap().1);
        assert!(end(db, &job, Outcome::Done).await);
    }
    order
}

pub(super) async fn fill(db: &PgPool, app_id: Uuid, count: usize) {
    for n in 0..count {
        queue(db, app_id, &format!("branch{n}")).await;
    }
}

pub(super) async fn change(db: &PgPool, app_id: Uuid, change: Change<'_>) {
    let mut conn = db.acquire().await.unwrap();
    assert!(team::change_share(&mut conn, app_id, &change).await.unwrap());
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_flood_of_one_application_delays_another_by_one_build(db: PgPool) {
    let (flood, other) = (app(&db, "flood").await, app(&db, "other").await);
    fill(&db, flood, 300).await;
    let running = take(&db).await.unwrap();
    let only = queue(&db, other, "main").await;
    assert!(end(&db, &running, Outcome::Done).await);
    let next = take(&db).await.unwrap();
    assert_eq!(next.subject, only);
    assert!(end(&db, &next, Outcome::Done).await);
    // Who pushes one after the other has no more turns than who pushed all at once.
    queue(&db, other, "main").await;
    let mut taken = Vec::new();
    for _ in 0..4 {
        let job = take(&db).await.unwrap();
        assert!(end(&db, &job, Outcome::Done).await);
        let is_flood = job.lock_key.starts_with(&flood.to_string());
        if !is_flood {
            queue(&db, other, "main").await;
        }
        taken.push(is_flood);
    }
    assert_eq!(taken, [true, false, true, false]);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn teams_then_applications_then_age(db: PgPool) {
    let (a, b, c) = (app(&db, "a").await, app(&db, "b").await, app(&db, "c").await);
    team::set(&mut db.acquire().await.unwrap(), "web", None, None).await.unwrap();
    change(&db, c, Change { team: Some("web"), ..Change::default() }).await;
    for app_id in [a, b, c] {
        fill(&db, app_id, 4).await;
    }
    let order = order(&db, &[(a, 'a'), (b, 'b'), (c, 'c')]).await;
    let first: Vec<_> = order[..8].chars().collect();
    assert_eq!(first.iter().filter(|it| **it == 'c').count(), 4, "{order}");
    assert!(first.windows(2).all(|two| (two[0] == 'c') != (two[1] == 'c')), "teams take turns: {order}");
    let of_default: String = order.chars().filter(|it| *it != 'c').collect();
    assert_eq!(of_default, "abababab", "{order}");
    let subjects: Vec<String> =
        sqlx::query_scalar("select lock_key from job where app_id = $1 order by lease_until, finished_at")
            .bind(a)
            .fetch_all(&db)
            .await
            .unwrap();
    let branches: Vec<_> = subjects.iter().map(|it| it.rsplit('/').next().unwrap()).collect();
    assert_eq!(branches, ["branch0", "branch1", "branch2", "branch3"], "by age");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn weights_say_how_many_turns(db: PgPool) {
    let (light, heavy) = (app(&db, "light").await, app(&db, "heavy").await);
    change(&db, heavy, Change { weight: Some(3), ..Change::default() }).await;
    fill(&db, light, 12).await;
    fill(&db, heavy, 12).await;
    let order = order(&db, &[(light, 'l'), (heavy, 'h')]).await;
    assert_eq!(order[..8].matches('h').count(), 6, "{order}");
    assert_eq!(order.len(), 24);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn who_was_away_is_not_owed_what_it_did_not_ask_for(db: PgPool) {
    let (busy, idle) = (app(&db, "busy").await, app(&db, "idle").await);
    fill(&db, busy, 20).await;
    for _ in 0..10 {
        let job = take(&db).await.unwrap();
        assert!(end(&db, &job, Outcome::Done).await);
    }
    fill(&db, idle, 5).await;
    let order = order(&db, &[(busy, 'b'), (idle, 'i')]).await;
    assert!(order.starts_with("ibibibibi"), "{order}");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn an_application_runs_as_many_as_its_limit_and_one_of_a_branch(db: PgPool) {
    let (demo, other) = (app(&db, "demo").await, app(&db, "other").await);
    fill(&db, demo, 4).await;
    let first = take(&db).await.unwrap();
    assert!(take(&db).await.is_none(), "one at a time, until somebody says more");
    change(&db, demo, Change { build_limit: Some(2), ..Change::default() }).await;
    let second = take(&db).await.unwrap();
    assert!(take(&db).await.is_none());
    let theirs = queue(&db, other, "main").await;
    assert_eq!(take(&db).await.unwrap().subject, theirs, "another application does not wait");
    let newer = queue(&db, demo, "branch0").await;
    assert!(end(&db, &second, Outcome::Done).await);
    assert_eq!(take(&db).await.unwrap().lock_key, format!("{demo}/branch2"), "branch0 is taken already");
    assert!(end(&db, &first, Outcome::Cancelled).await);
    let third = take(&db).await.unwrap();
    assert_eq!(third.lock_key, format!("{demo}/branch3"), "older than the newer commit of branch0");
    assert!(end(&db, &third, Outcome::Done).await);
    assert_eq!(take(&db).await.unwrap().subject, newer);
    let seats = "update job set seat = 1 where state = 'running' and app_id = $1";
    let doubled = sqlx::query(seats).bind(demo).execute(&db).await.unwrap_err();
    assert!(doubled.to_string().contains("job_seat_running"), "the schema says so, not the code: {doubled}");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_team_runs_as_many_as_its_limit(db: PgPool) {
    let apps = [app(&db, "a").await, app(&db, "b").await, app(&db, "c").await];
    let mut conn = db.acquire().await.unwrap();
    team::set(&mut conn, "web", None, Some(Some(1))).await.unwrap();
    for app_id in &apps[..2] {
        change(&db, *app_id, Change { team: Some("web"), ..Change::default() }).await;
    }
    for app_id in apps {
        queue(&db, app_id, "main").await;
    }
    let taken = [take(&db).await.unwrap(), take(&db).await.unwrap()];
    assert!(take(&db).await.is_none());
    let of_web = taken.iter().find(|job| !job.lock_key.starts_with(&apps[2].to_string())).unwrap();
    assert!(end(&db, of_web, Outcome::Done).await);
    assert!(take(&db).await.is_some() && take(&db).await.is_none());
    team::set(&mut conn, "web", None, Some(None)).await.unwrap();
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn pushes_come_before_rebuilds(db: PgPool) {
    let (a, b) = (app(&db, "a").await, app(&db, "b").await);
    for n in 0..3 {
        queue_with(&db, a, &format!("old{n}"), Priority::Rebuild, Duration::ZERO).await;
        queue_with(&db, b, &format!("old{n}"), Priority::Rebuild, Duration::ZERO).await;
    }
    let pushed = [queue(&db, a, "main").await, queue(&db, a, "feature").await];
    for subject in pushed {
        let job = take(&db).await.unwrap();
        assert_eq!(job.subject, subject);
        assert!(end(&db, &job, Outcome::Done).await);
    }
    assert_eq!(order(&db, &[(a, 'a'), (b, 'b')]).await.len(), 6);
    let waiting: i64 =
        sqlx::query_scalar("select count(*) from turn where waits is not null").fetch_one(&db).await.unwrap();
    assert_eq!(waiting, 0, "nothing waits any more");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn what_is_put_back_or_cancelled_keeps_the_turn_true(db: PgPool) {
    let demo = app(&db, "demo").await;
    queue(&db, demo, "main").await;
    let job = take(&db).await.unwrap();
    let waits = async || -> Option<i16> {
        sqlx::query_scalar("select waits from turn").fetch_one(&db).await.unwrap()
    };
    assert_eq!(waits().await, None);
    assert!(end(&db, &job, Outcome::HandBack).await);
    assert_eq!(waits().await, Some(0));
    let mut conn = db.acquire().await.unwrap();
    cancel_lane(&mut conn, JobKind::Build, &format!("{demo}/main")).await.unwrap();
    assert!(take(&db).await.is_none());
    sweep(&db).await.unwrap();
    assert_eq!(waits().await, None, "settled");
    queue_with(&db, demo, "main", Priority::Push, TTL).await;
    assert!(take(&db).await.is_none(), "not before its time");
    assert_eq!(states(&db).await, ["cancelled", "queued"]);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn what_replaces_a_job_takes_its_place_in_the_queue(db: PgPool) {
    let demo = app(&db, "demo").await;
    queue(&db, demo, "first").await;
    queue(&db, demo, "second").await;
    let newer = queue(&db, demo, "first").await;
    assert_eq!(take(&db).await.unwrap().subject, newer);
}

/// Pushers, builders with leases that end at once, and cancels race: limits hold, nothing is forgotten, nobody sees an error.
#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn turns_hold_under_load(db: PgPool) {
    let apps = [app(&db, "a").await, app(&db, "b").await, app(&db, "c").await];
    change(&db, apps[1], Change { build_limit: Some(2), ..Change::default() }).await;
    let mut tasks = tokio::task::JoinSet::new();
    for (n, app_id) in apps.into_iter().enumerate() {
        let db = db.clone();
        tasks.spawn(async move {
            for i in 0..60 {
                queue(&db, app_id, &format!("branch{}", (i + n) % 4)).await;
                if i % 10 == 0 {
                    let mut conn = db.acquire().await.unwrap();
                    cancel_lane(&mut conn, JobKind::Build, &format!("{app_id}/branch0")).await.unwrap();
                }
            }
        });
    }
    for n in 0..4 {
        let db = db.clone();
        tasks.spawn(async move {
            for i in 0..80 {
                sweep(&db).await.unwrap();
                let ttl = if i % 5 == 0 { Duration::ZERO } else { TTL };
                if let Some(job) = claim(&db, &[JobKind::Build], "w", ttl).await.unwrap() {
                    let retry = Outcome::Retry { error: "x", delay: Duration::ZERO };
                    end(&db, &job, if (i + n) % 3 == 0 { retry } else { Outcome::Done }).await;
                }
            }
        });
    }
    tasks.join_all().await;
    sqlx::query("update job set lease_until = now() - interval '1 s' where state = 'running'")
        .execute(&db)
        .await
        .unwrap();
    sweep(&db).await.unwrap();
    while let Some(job) = take(&db).await {
        assert!(end(&db, &job, Outcome::Done).await);
    }
    let left: i64 = sqlx::query_scalar("select count(*) from job where state in ('queued', 'running')")
        .fetch_one(&db)
        .await
        .unwrap();
    assert_eq!(left, 0, "an application that waits was forgotten");
}

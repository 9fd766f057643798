//! Builds for several slots at once: as if they were asked for one after the other, within all limits, and beside others.

use std::collections::{HashMap, HashSet};

use sqlx::Postgres;
use sqlx::Transaction;

use super::end;
use super::turns::{app, change, fill, queue, queue_with};
use crate::queue::*;
use crate::team::{self, Change};

const TTL: Duration = Duration::from_secs(30);
const SEEDS: u64 = 60;

async fn take(db: &PgPool, count: usize) -> Vec<Job> {
    claim_up_to(db, &[JobKind::Build], "w", TTL, count).await.unwrap()
}

fn app_of(job: &Job) -> Uuid {
    job.lock_key.split('/').next().unwrap().parse().unwrap()
}

/// Numbers that a seed says.
struct Dice(u64);

impl Dice {
    /// One of `0..sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn number(&mut self, sides: u64) -> i32 {
        i32::try_from(self.roll(sides)).unwrap()
    }
}

/// Teams and applications with weights, limits and a past; builds of both priorities, some of one lock, some that run,
/// some that wait for their time.
async fn world(db: &PgPool, dice: &mut Dice) {
    sqlx::raw_sql("truncate app, job cascade; delete from team where name <> 'default'")
        .execute(db)
        .await
        .unwrap();
    let mut conn = db.acquire().await.unwrap();
    let teams: Vec<String> = (0..=dice.roll(4)).map(|n| format!("team{n}")).collect();
    for name in &teams {
        let limit = (dice.roll(3) == 0).then(|| 1 + dice.number(5));
        team::set(&mut conn, name, Some(1 + dice.number(3)), Some(limit)).await.unwrap();
    }
    for n in 0..1 + dice.roll(7) {
        let app_id = app(db, &format!("app{n}")).await;
        let of = &teams[usize::try_from(dice.roll(teams.len() as u64)).unwrap()];
        let share = Change {
            team: Some(of),
            weight: Some(1 + dice.number(4)),
            build_limit: Some(if dice.roll(2) == 0 { 1 } else { 1 + dice.number(4) }),
        };
        change(db, app_id, share).await;
        for job in 0..dice.roll(8) {
            let (branch, priority) =
                (dice.roll(5), [Priority::Push, Priority::Rebuild][usize::from(dice.roll(3) == 0)]);
            let delay = if dice.roll(8) == 0 { TTL } else { Duration::ZERO };
            let (lane, lock_key) = (format!("{app_id}/{branch}/{job}"), format!("{app_id}/{branch}"));
            let new = NewJob {
                turn_of: Some(app_id),
                priority,
                lane: &lane,
                ..NewJob::keyed(JobKind::Build, &lock_key, Uuid::now_v7())
            };
            enqueue_after(&mut conn, new, delay).await.unwrap();
        }
    }
    for job in take(db, usize::try_from(dice.roll(6)).unwrap()).await {
        let outcome = [Outcome::Done, Outcome::HandBack];
        if let Some(outcome) = outcome.into_iter().nth(usize::try_from(dice.roll(4)).unwrap()) {
            assert!(end(db, &job, outcome).await);
        }
    }
    sqlx::query("update turn set served = served + $1 * (hashtext(app_id::text) & 3) / 2.0")
        .bind(f64::from(dice.number(3)))
        .execute(db)
        .await
        .unwrap();
}

/// In the order of their turns, with their seats.
async fn taken(tx: &mut Transaction<'_, Postgres>, count: i32) -> Vec<(i64, i32, i32)> {
    sqlx::query_as("select id, seat, attempt from claim_builds('w', interval '30 s', $1)")
        .bind(count)
        .fetch_all(&mut **tx)
        .await
        .unwrap()
}

/// All that claims move, but for the very moments.
async fn books(tx: &mut Transaction<'_, Postgres>) -> Vec<String> {
    sqlx::query_scalar(
        "select concat_ws(' ', 'job', id, state, attempt, seat, lease is null) from job
         union all select concat_ws(' ', 'app', app_id, served, waits, rank() over (order by served_at)) from turn
         union all select concat_ws(' ', 'team', name, served, began, clock, rank() over (order by served_at)) from team
         order by 1",
    )
    .fetch_all(&mut **tx)
    .await
    .unwrap()
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn several_at_once_are_those_that_come_one_after_the_other(db: PgPool) {
    let mut claimed = 0;
    for seed in 0..SEEDS {
        let mut dice = Dice(seed);
        world(&db, &mut dice).await;
        let count = 1 + dice.number(10);
        let mut tx = db.begin().await.unwrap();
        let mut one_by_one = Vec::new();
        for _ in 0..count {
            one_by_one.extend(taken(&mut tx, 1).await);
        }
        let expected = books(&mut tx).await;
        tx.rollback().await.unwrap();

        let mut tx = db.begin().await.unwrap();
        let at_once = taken(&mut tx, count).await;
        let found = books(&mut tx).await;
        tx.rollback().await.unwrap();
        assert_eq!(at_once, one_by_one, "seed {seed}, {count} at once");
        assert_eq!(found, expected, "seed {seed}, {count} at once");
        claimed += at_once.len();
    }
    assert!(claimed > 100, "most seeds have builds to take: {claimed}");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn limits_hold_within_a_batch(db: PgPool) {
    let apps = [app(&db, "a").await, app(&db, "b").await, app(&db, "c").await];
    team::set(&mut db.acquire().await.unwrap(), "web", None, Some(Some(3))).await.unwrap();
    for app_id in &apps[..2] {
        change(&db, *app_id, Change { team: Some("web"), build_limit: Some(2), ..Change::default() }).await;
    }
    for app_id in apps {
        fill(&db, app_id, 5).await;
    }
    let jobs = take(&db, 20).await;
    let mut running: HashMap<Uuid, usize> = HashMap::new();
    for job in &jobs {
        *running.entry(app_of(job)).or_default() += 1;
    }
    assert_eq!(running[&apps[0]] + running[&apps[1]], 3, "of the team: {running:?}");
    assert!(running[&apps[0]] <= 2 && running[&apps[1]] <= 2, "of each application: {running:?}");
    assert_eq!(running[&apps[2]], 1, "one, when nobody said more");
    assert!(take(&db, 20).await.is_empty());
    for job in &jobs {
        assert!(end(&db, job, Outcome::Done).await);
    }
    assert_eq!(take(&db, 2).await.len(), 2, "no more than were asked for");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn batches_beside_each_other_never_exceed_a_limit(db: PgPool) {
    let apps = [app(&db, "a").await, app(&db, "b").await, app(&db, "c").await];
    team::set(&mut db.acquire().await.unwrap(), "web", None, Some(Some(4))).await.unwrap();
    for app_id in &apps[..2] {
        change(&db, *app_id, Change { team: Some("web"), build_limit: Some(3), ..Change::default() }).await;
    }
    for _ in 0..10 {
        for app_id in apps {
            fill(&db, app_id, 6).await;
        }
        let mut claiming = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let db = db.clone();
            claiming.spawn(async move { take(&db, 4).await });
        }
        let jobs: Vec<Job> = claiming.join_all().await.into_iter().flatten().collect();
        let ids: HashSet<i64> = jobs.iter().map(|job| job.id).collect();
        assert_eq!(ids.len(), jobs.len(), "nothing is taken twice");
        let of = |app_id: Uuid| jobs.iter().filter(|job| app_of(job) == app_id).count();
        assert_eq!(of(apps[0]) + of(apps[1]), 4, "as many as the team's limit says, and no more");
        assert!(of(apps[0]) <= 3 && of(apps[1]) <= 3);
        assert_eq!(of(apps[2]), 1);
        for job in &jobs {
            assert!(end(&db, job, Outcome::Done).await);
        }
    }
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn what_somebody_else_holds_is_passed_over(db: PgPool) {
    let (held, other) = (app(&db, "held").await, app(&db, "other").await);
    let waiting = queue(&db, held, "main").await;
    let free = queue(&db, other, "main").await;
    let rebuild = queue_with(&db, other, "old", Priority::Rebuild, Duration::ZERO).await;
    let mut holding = db.begin().await.unwrap();
    sqlx::query("select from job where subject = $1 for update")
        .bind(waiting)
        .fetch_one(&mut *holding)
        .await
        .unwrap();
    change(&db, other, Change { build_limit: Some(2), ..Change::default() }).await;
    let subjects: Vec<Uuid> = take(&db, 4).await.iter().map(|job| job.subject).collect();
    assert_eq!(subjects, [free, rebuild]);
    holding.rollback().await.unwrap();
    assert_eq!(take(&db, 4).await[0].subject, waiting);
}

/// Who claims while somebody queues several applications' builds in one transaction waits for nothing of it.
#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_push_that_is_not_over_holds_nobody_up(db: PgPool) {
    let (a, b) = (app(&db, "a").await, app(&db, "b").await);
    queue_with(&db, a, "old", Priority::Rebuild, Duration::ZERO).await;
    queue_with(&db, b, "old", Priority::Rebuild, Duration::ZERO).await;
    let mut pushing = db.begin().await.unwrap();
    let key = format!("{b}/main");
    let push = NewJob { turn_of: Some(b), ..NewJob::keyed(JobKind::Build, &key, Uuid::now_v7()) };
    enqueue(&mut pushing, push).await.unwrap();
    let jobs = take(&db, 4).await;
    assert_eq!(jobs.iter().map(app_of).collect::<Vec<_>>(), [a]);
    pushing.commit().await.unwrap();
    assert_eq!(take(&db, 4).await[0].lock_key, key);
}

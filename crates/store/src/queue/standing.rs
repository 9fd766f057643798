//! Where a build stands in the queue, for those who wait for it.

use std::time::Duration;

use anyhow::Result;
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

/// So many of those ahead are named.
const NAMED_MAX: i64 = 3;

/// A build that waits for a builder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// From 1, over all applications, in the order in which builds are taken.
    pub position: i64,
    /// All builds that wait, this one included.
    pub waiting: i64,
    /// All builds that run.
    pub running: i64,
    /// The first of those ahead of it that wait too.
    pub ahead: Vec<Ahead>,
    /// The number of the build of its own application that runs: one at a time does.
    pub held_by: Option<i32>,
    /// Attempts that were begun before: a fault of the platform ended them.
    pub attempt: i32,
    pub attempt_max: i32,
    /// What ended the last of them; a builder that was shut down says nothing.
    pub error: Option<String>,
    /// It is not taken before this has gone by.
    pub pause: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ahead {
    pub app: String,
    pub number: i32,
}

#[derive(FromRow)]
struct Row {
    position: i64,
    waiting: i64,
    running: i64,
    ahead_apps: Vec<String>,
    ahead_numbers: Vec<i32>,
    held_by: Option<i32>,
    attempt: i32,
    attempt_max: i32,
    error: Option<String>,
    pause_ms: i64,
}

/// `None`: it does not wait.
pub async fn of_build(db: &PgPool, build_id: Uuid) -> Result<Option<Standing>> {
    let row: Option<Row> = sqlx::query_as(
        "with own as (
             select id, run_at, lock_key, attempt, attempt_max, error from job
             where kind = 'build' and state = 'queued' and subject = $1
         ), ahead as (
             select q.run_at, q.id, q.subject from job q, own
             where q.kind = 'build' and q.state = 'queued' and (q.run_at, q.id) < (own.run_at, own.id)
         ), named as (
             select row_number() over (order by ahead.run_at, ahead.id) as place, a.name, b.number
             from ahead join build b on b.id = ahead.subject join app a on a.id = b.app_id
             order by place limit $2
         )
         select (select count(*) from ahead) + 1 as position,
             (select count(*) from job where kind = 'build' and state = 'queued') as waiting,
             (select count(*) from job where kind = 'build' and state = 'running') as running,
             array(select name from named order by place) as ahead_apps,
             array(select number from named order by place) as ahead_numbers,
             (select b.number from job r join build b on b.id = r.subject
              where r.kind = 'build' and r.state = 'running' and r.lock_key = own.lock_key) as held_by,
             attempt, attempt_max, error,
             greatest(0, ceil(extract(epoch from run_at - now()) * 1000))::bigint as pause_ms
         from own",
    )
    .bind(build_id)
    .bind(NAMED_MAX)
    .fetch_optional(db)
    .await?;
    Ok(row.map(standing))
}

fn standing(row: Row) -> Standing {
    let ahead = row.ahead_apps.into_iter().zip(row.ahead_numbers);
    Standing {
        position: row.position,
        waiting: row.waiting,
        running: row.running,
        ahead: ahead.map(|(app, number)| Ahead { app, number }).collect(),
        held_by: row.held_by,
        attempt: row.attempt,
        attempt_max: row.attempt_max,
        error: row.error,
        pause: Duration::from_millis(u64::try_from(row.pause_ms).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use domain::job::JobKind;

    use super::*;
    use crate::app::{self, NewApp};
    use crate::build::Build;
    use crate::queue::{self, Outcome};
    use crate::{branch, push};

    async fn pushed(db: &PgPool, name: &str, branch: &str) -> Build {
        let mut tx = db.begin().await.unwrap();
        let app = match app::by_name(db, name).await.unwrap() {
            Some(app) => app,
            None => app::create(&mut tx, &NewApp::pushed(name, "main")).await.unwrap().unwrap(),
        };
        let branch = branch::touch(&mut tx, app.id, branch).await.unwrap();
        let build = push::record(&mut tx, &branch, &"a".repeat(40)).await.unwrap().unwrap();
        tx.commit().await.unwrap();
        build
    }

    async fn of(db: &PgPool, build: &Build) -> Standing {
        of_build(db, build.id).await.unwrap().unwrap()
    }

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn who_waits_knows_its_place_and_what_holds_it(db: PgPool) {
        let first = pushed(&db, "demo", "main").await;
        let alone = of(&db, &first).await;
        assert_eq!((alone.position, alone.waiting, alone.running, alone.held_by), (1, 1, 0, None));
        assert_eq!((alone.attempt, alone.attempt_max, alone.error), (0, 4, None));
        let second = pushed(&db, "demo", "feature").await;
        let third = pushed(&db, "shop", "main").await;
        let others = ["a", "b", "c"].map(|name| (name, "main"));
        for (app, branch) in others {
            pushed(&db, app, branch).await;
        }
        let last = pushed(&db, "last", "main").await;

        let job = queue::claim(&db, &[JobKind::Build], "w", crate::worker::LEASE).await.unwrap().unwrap();
        assert_eq!(job.subject, first.id);
        assert_eq!(of_build(&db, first.id).await.unwrap(), None, "it runs");
        let held = of(&db, &second).await;
        assert_eq!((held.position, held.waiting, held.running, held.held_by), (1, 6, 1, Some(first.number)));
        assert_eq!(of(&db, &third).await.held_by, None, "another application's build holds nobody");
        let last = of(&db, &last).await;
        assert_eq!(last.position, 6);
        let named: Vec<_> = last.ahead.iter().map(|it| (it.app.as_str(), it.number)).collect();
        assert_eq!(named, [("demo", second.number), ("shop", third.number), ("a", 1)]);

        let mut tx = db.begin().await.unwrap();
        let again = Outcome::Retry { error: "BuildKit did not answer", delay: Duration::from_secs(60) };
        assert!(queue::finish(&mut tx, &job, again).await.unwrap());
        tx.commit().await.unwrap();
        let back = of(&db, &first).await;
        assert_eq!(
            (back.position, back.attempt, back.held_by),
            (7, 1, None),
            "behind all who may run before it"
        );
        assert_eq!(back.error.as_deref(), Some("BuildKit did not answer"));
        assert!(back.pause > Duration::from_secs(30) && back.pause <= Duration::from_secs(60));
    }
}

//! Numbers about the queue and about builds, for metrics.

use std::time::Duration;

use anyhow::Result;
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

/// The jobs of one kind in one state.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct Jobs {
    pub kind: String,
    pub state: String,
    pub count: i64,
    /// For how long the one that has been ready longest has been so.
    pub oldest_seconds: f64,
}

/// The queue as it is: what waits, and what runs.
pub async fn jobs(db: &PgPool) -> Result<Vec<Jobs>> {
    Ok(sqlx::query_as(
        "select kind, state::text as state, count(*) as count,
             coalesce(extract(epoch from max(now() - run_at) filter (where run_at <= now())), 0)::float8 as oldest_seconds
         from job where state in ('queued', 'running') group by kind, state order by kind, state",
    )
    .fetch_all(db)
    .await?)
}

/// Builds that ended alike.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Ended {
    pub state: String,
    /// The code of their reason, or nothing.
    pub reason: String,
    pub count: i64,
}

/// How the builds of the last day ended.
pub async fn ended(db: &PgPool) -> Result<Vec<Ended>> {
    Ok(sqlx::query_as(
        "select state::text as state, coalesce(reason ->> 'code', '') as reason, count(*) as count
         from build where finished_at > now() - interval '1 day' group by 1, 2 order by 1, 2",
    )
    .fetch_all(db)
    .await?)
}

/// One build in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    pub state: String,
    pub reason: String,
    /// From its push to the start of its first attempt.
    pub waited: Option<Duration>,
    /// From there to its end.
    pub took: Option<Duration>,
    pub image_bytes: u64,
    pub log_bytes: u64,
    pub steps: u64,
    pub cached_steps: u64,
}

#[derive(FromRow)]
struct Row {
    state: String,
    reason: String,
    waited: Option<f64>,
    took: Option<f64>,
    image_bytes: i64,
    log_bytes: i64,
    steps: i64,
    cached_steps: i64,
}

/// Of its steps those are counted that are steps of the Dockerfile: `[2/4] RUN ...`.
pub async fn of_build(db: &PgPool, id: Uuid) -> Result<Option<Figures>> {
    let row: Option<Row> = sqlx::query_as(
        "select state::text as state, coalesce(reason ->> 'code', '') as reason,
             extract(epoch from started_at - created_at)::float8 as waited,
             extract(epoch from finished_at - started_at)::float8 as took,
             coalesce((select size_bytes from image where build_id = b.id), 0) as image_bytes,
             coalesce((select byte_count from build_log where build_id = b.id), 0) as log_bytes,
             counted.steps, counted.cached_steps
         from build b, lateral (
             select count(*) as steps, count(*) filter (where cached) as cached_steps
             from step where build_id = b.id and attempt = b.attempt and name ~ '^\\[([^]]* )?[0-9]+/[0-9]+\\]'
         ) counted
         where b.id = $1",
    )
    .bind(id)
    .fetch_optional(db)
    .await?;
    Ok(row.map(figures))
}

fn figures(row: Row) -> Figures {
    let seconds = |seconds: Option<f64>| seconds.map(|it| Duration::from_secs_f64(it.max(0.0)));
    let count = |count: i64| u64::try_from(count).unwrap_or_default();
    Figures {
        state: row.state,
        reason: row.reason,
        waited: seconds(row.waited),
        took: seconds(row.took),
        image_bytes: count(row.image_bytes),
        log_bytes: count(row.log_bytes),
        steps: count(row.steps),
        cached_steps: count(row.cached_steps),
    }
}

#[cfg(test)]
mod tests {
    use domain::job::JobKind;
    use domain::reason::{Reason, ReasonCode};

    use super::*;
    use crate::app::{self, NewApp};
    use crate::queue::Outcome;
    use crate::worker::LEASE;
    use crate::{branch, build, push, queue};

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn a_failed_build_and_the_queue_around_it(db: PgPool) {
        let mut tx = db.begin().await.unwrap();
        let app = app::create(&mut tx, &NewApp::pushed("demo", "main")).await.unwrap().unwrap();
        let main = branch::touch(&mut tx, app.id, "main").await.unwrap();
        let build = push::record(&mut tx, &main, &"a".repeat(40)).await.unwrap().unwrap();
        tx.commit().await.unwrap();
        let queued = jobs(&db).await.unwrap();
        assert_eq!((queued.len(), queued[0].kind.as_str(), queued[0].state.as_str()), (1, "build", "queued"));
        assert!(queued[0].count == 1 && queued[0].oldest_seconds >= 0.0, "{queued:?}");

        let job = queue::claim(&db, &[JobKind::Build], "w", LEASE).await.unwrap().unwrap();
        let mut conn = db.acquire().await.unwrap();
        assert!(build::start(&mut conn, build.id, 1).await.unwrap());
        let steps = "insert into step (build_id, number, attempt, name, cached) values
            ($1, 1, 1, '[internal] load build context', false), ($1, 2, 1, '[1/2] FROM alpine', true),
            ($1, 3, 1, '[web 2/2] RUN false', false)";
        sqlx::query(steps).bind(build.id).execute(&db).await.unwrap();
        let running = jobs(&db).await.unwrap();
        assert_eq!((running.len(), running[0].state.as_str()), (1, "running"));
        assert!(queue::finish(&mut conn, &job, Outcome::Failed { error: "x" }).await.unwrap());
        assert!(build::fail(&mut conn, build.id, &Reason::new(ReasonCode::StepFailed, "x")).await.unwrap());

        let ended = ended(&db).await.unwrap();
        let expected = Ended { state: "failed".to_owned(), reason: "step_failed".to_owned(), count: 1 };
        assert_eq!(ended, [expected]);
        let figures = of_build(&db, build.id).await.unwrap().unwrap();
        assert_eq!((figures.state.as_str(), figures.reason.as_str()), ("failed", "step_failed"));
        assert_eq!((figures.steps, figures.cached_steps, figures.image_bytes), (2, 1, 0));
        assert!(figures.waited.is_some() && figures.took.is_some(), "{figures:?}");
    }
}

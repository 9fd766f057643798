//! Releases: immutable but for their state. A move names the state it leaves, so a late writer changes nothing.

pub mod overdue;

use anyhow::Result;
use domain::job::JobKind;
use domain::reason::Reason;
use domain::state::ReleaseState;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use crate::branch;
use crate::environment::Environment;
use crate::moved;
use crate::push::enqueue_report;
use crate::queue::{NewJob, enqueue};
use crate::{Time, Word};

#[derive(Debug, Clone, FromRow)]
pub struct Release {
    pub id: Uuid,
    pub environment_id: Uuid,
    pub build_id: Uuid,
    pub version: i32,
    /// `repository@sha256:...`
    pub image: String,
    pub port: i32,
    pub health_path: String,
    #[sqlx(try_from = "String")]
    pub state: Word<ReleaseState>,
    /// The objects as they were applied.
    pub manifests: Option<serde_json::Value>,
    pub reason: Option<Json<Reason>>,
    pub created_at: Time,
    pub started_at: Option<Time>,
    pub finished_at: Option<Time>,
}

/// The columns of [`Release`]; a macro, because a query's text must be a constant.
macro_rules! columns {
    () => {
        "id, environment_id, build_id, version, image, port, health_path, state::text as state, manifests, reason, \
         created_at, started_at, finished_at"
    };
}

#[derive(Debug, Clone)]
pub struct NewRelease<'a> {
    pub build_id: Uuid,
    pub image: &'a str,
    pub port: i32,
    pub health_path: &'a str,
}

/// Creates the next version of the environment and queues its roll-out; queued older ones give way.
/// Wake [`JobKind::Deploy`] and [`JobKind::Report`] after the commit.
pub async fn create(
    conn: &mut PgConnection,
    environment: &Environment,
    new: &NewRelease<'_>,
) -> Result<Release> {
    let release: Release = sqlx::query_as(concat!(
        "with counted as (update environment set release_count = release_count + 1 where id = $2 returning release_count)
         insert into release (id, environment_id, build_id, version, image, port, health_path)
         select $1, $2, $3, release_count, $4, $5, $6 from counted returning ",
        columns!()
    ))
    .bind(Uuid::now_v7())
    .bind(environment.id)
    .bind(new.build_id)
    .bind(new.image)
    .bind(new.port)
    .bind(new.health_path)
    .fetch_one(&mut *conn)
    .await?;
    let key = environment.id.to_string();
    enqueue(&mut *conn, NewJob::keyed(JobKind::Deploy, &key, release.id)).await?;
    for build_id in supersede_queued(conn, environment.id, Some(release.id)).await? {
        enqueue_report(conn, build_id).await?;
    }
    Ok(release)
}

/// The environment's queued releases, but for `newer`, give way to what was queued in their place; answers their builds.
/// Call it after the lane is locked: a deployer that ends a release locks them in this order.
pub(crate) async fn supersede_queued(
    conn: &mut PgConnection,
    environment_id: Uuid,
    newer: Option<Uuid>,
) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar(
        "update release set state = 'superseded', finished_at = now()
         where environment_id = $1 and state = 'queued' and id is distinct from $2 returning build_id",
    )
    .bind(environment_id)
    .bind(newer)
    .fetch_all(conn)
    .await?)
}

/// Ends whatever runs of the environment or is to run; answers the builds of what was not live yet.
pub(crate) async fn end_all(conn: &mut PgConnection, environment_id: Uuid) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar(
        "with ended as (
             update release set finished_at = coalesce(finished_at, now()),
                 state = (case state when 'live' then 'replaced' else 'superseded' end)::release_state
             where environment_id = $1 and state in ('queued', 'rolling', 'live') returning build_id, state
         )
         select build_id from ended where state = 'superseded'",
    )
    .bind(environment_id)
    .fetch_all(conn)
    .await?)
}

pub async fn get(db: &PgPool, id: Uuid) -> Result<Option<Release>> {
    Ok(sqlx::query_as(concat!("select ", columns!(), " from release where id = $1"))
        .bind(id)
        .fetch_optional(db)
        .await?)
}

pub async fn of_build(db: &PgPool, build_id: Uuid) -> Result<Option<Release>> {
    Ok(sqlx::query_as(concat!("select ", columns!(), " from release where build_id = $1"))
        .bind(build_id)
        .fetch_optional(db)
        .await?)
}

/// Newest first.
pub async fn list(db: &PgPool, environment_id: Uuid, limit: i64) -> Result<Vec<Release>> {
    Ok(sqlx::query_as(concat!(
        "select ",
        columns!(),
        " from release where environment_id = $1 order by version desc limit $2"
    ))
    .bind(environment_id)
    .bind(limit)
    .fetch_all(db)
    .await?)
}

/// The release that serves the environment.
pub async fn live_of(db: &PgPool, environment_id: Uuid) -> Result<Option<Release>> {
    Ok(sqlx::query_as(concat!(
        "select ",
        columns!(),
        " from release where environment_id = $1 and state = 'live'"
    ))
    .bind(environment_id)
    .fetch_optional(db)
    .await?)
}

/// The roll-out begins, or begins again after a deployer died. `false`: the release has ended already. Roll-outs of an
/// environment run one at a time, so an older one that has not ended lost its job: its deployer gave it back or died,
/// and this one took its place in the lane.
pub async fn start(conn: &mut PgConnection, id: Uuid, manifests: &serde_json::Value) -> Result<bool> {
    let started = moved(
        sqlx::query(
            "update release set state = 'rolling', manifests = $2, started_at = coalesce(started_at, now())
             where id = $1 and state in ('queued', 'rolling')",
        )
        .bind(id)
        .bind(manifests)
        .execute(&mut *conn)
        .await,
    )?;
    if started {
        let older: Vec<Uuid> = sqlx::query_scalar(
            "update release older set state = 'superseded', finished_at = now() from release newer
             where newer.id = $1 and older.environment_id = newer.environment_id and older.version < newer.version
               and older.state in ('queued', 'rolling') returning older.build_id",
        )
        .bind(id)
        .fetch_all(&mut *conn)
        .await?;
        for build_id in older {
            enqueue_report(&mut *conn, build_id).await?;
        }
    }
    Ok(started)
}

/// The new version answered: it is live, and the one before it is replaced. [`branch::hold_of_build`] comes before the
/// end of the job.
pub async fn make_live(conn: &mut PgConnection, release: &Release) -> Result<bool> {
    sqlx::query(
        "update release set state = 'replaced' where environment_id = $1 and state = 'live'
         and exists (select from release where id = $2 and state = 'rolling')",
    )
    .bind(release.environment_id)
    .bind(release.id)
    .execute(&mut *conn)
    .await?;
    let is_live = moved(
        sqlx::query(
            "update release set state = 'live', finished_at = now() where id = $1 and state = 'rolling'",
        )
        .bind(release.id)
        .execute(&mut *conn)
        .await,
    )?;
    if is_live {
        branch::advance_head(conn, release.build_id).await?;
    }
    Ok(is_live)
}

pub async fn fail(conn: &mut PgConnection, id: Uuid, reason: &Reason) -> Result<bool> {
    moved(
        sqlx::query(
            "update release set state = 'failed', reason = $2, finished_at = now()
             where id = $1 and state in ('queued', 'rolling')",
        )
        .bind(id)
        .bind(Json(reason))
        .execute(conn)
        .await,
    )
}

/// A newer release of the environment took its place before it was live.
pub async fn supersede(conn: &mut PgConnection, id: Uuid) -> Result<bool> {
    moved(
        sqlx::query(
            "update release set state = 'superseded', finished_at = now() where id = $1 and state in ('queued', 'rolling')",
        )
        .bind(id)
        .execute(conn)
        .await,
    )
}

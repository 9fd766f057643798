//! Builds: their rows and the moves between their states. A move names the state it leaves, so a late writer changes nothing.

use anyhow::Result;
use domain::job::JobKind;
use domain::reason::Reason;
use domain::state::BuildState;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use crate::branch::Branch;
use crate::{Time, Word, moved, push, queue};

#[derive(Debug, Clone, FromRow)]
pub struct Build {
    pub id: Uuid,
    pub app_id: Uuid,
    pub branch_id: Uuid,
    pub number: i32,
    pub branch: String,
    pub commit: String,
    /// Who pushed it; known when it was pushed to Slipway itself.
    pub pusher: Option<String>,
    /// The name of the environment it is to run in.
    pub environment: String,
    pub no_cache: bool,
    pub ttl_seconds: Option<i64>,
    pub subject: Option<String>,
    pub author: Option<String>,
    #[sqlx(try_from = "String")]
    pub state: Word<BuildState>,
    pub attempt: i32,
    pub reason: Option<Json<Reason>>,
    pub superseded_by: Option<Uuid>,
    pub digest: Option<String>,
    pub created_at: Time,
    pub started_at: Option<Time>,
    pub finished_at: Option<Time>,
}

/// The columns of [`Build`]; a macro, because a query's text must be a constant.
macro_rules! columns {
    () => {
        "id, app_id, branch_id, number, branch, commit, pusher, environment, no_cache, ttl_seconds, subject, author, state::text as state, attempt, reason, \
         superseded_by, digest, created_at, started_at, finished_at"
    };
}

/// What a push says of the build that it becomes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewBuild<'a> {
    pub(crate) push_id: Uuid,
    pub(crate) commit: &'a str,
    pub(crate) pusher: Option<&'a str>,
    pub(crate) environment: &'a str,
    pub(crate) no_cache: bool,
    pub(crate) ttl_seconds: Option<i64>,
}

pub(crate) async fn create(conn: &mut PgConnection, branch: &Branch, new: &NewBuild<'_>) -> Result<Build> {
    Ok(sqlx::query_as(concat!(
        "with numbered as (update app set build_count = build_count + 1 where id = $2 returning build_count)
         insert into build (id, app_id, branch_id, push_id, number, branch, commit, pusher, environment, no_cache, ttl_seconds)
         select $1, $2, $3, $4, build_count, $5, $6, $7, $8, $9, $10 from numbered returning ",
        columns!()
    ))
    .bind(Uuid::now_v7())
    .bind(branch.app_id)
    .bind(branch.id)
    .bind(new.push_id)
    .bind(&branch.name)
    .bind(new.commit)
    .bind(new.pusher)
    .bind(new.environment)
    .bind(new.no_cache)
    .bind(new.ttl_seconds)
    .fetch_one(conn)
    .await?)
}

/// The queued builds of the branch give way to `newer`; answers their ids.
pub(crate) async fn supersede_queued(conn: &mut PgConnection, newer: &Build) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar(
        "update build set state = 'superseded', superseded_by = $2, finished_at = now()
         where branch_id = $1 and state = 'queued' and id <> $2 returning id",
    )
    .bind(newer.branch_id)
    .bind(newer.id)
    .fetch_all(conn)
    .await?)
}

pub async fn get(db: &PgPool, id: Uuid) -> Result<Option<Build>> {
    Ok(sqlx::query_as(concat!("select ", columns!(), " from build where id = $1"))
        .bind(id)
        .fetch_optional(db)
        .await?)
}

pub async fn by_number(db: &PgPool, app_id: Uuid, number: i32) -> Result<Option<Build>> {
    Ok(sqlx::query_as(concat!("select ", columns!(), " from build where app_id = $1 and number = $2"))
        .bind(app_id)
        .bind(number)
        .fetch_optional(db)
        .await?)
}

/// Newest first; `before` is the number of the last one already seen.
pub async fn list(db: &PgPool, app_id: Uuid, before: Option<i32>, limit: i64) -> Result<Vec<Build>> {
    Ok(sqlx::query_as(concat!(
        "select ",
        columns!(),
        " from build where app_id = $1 and ($2::int is null or number < $2) order by number desc limit $3"
    ))
    .bind(app_id)
    .bind(before)
    .bind(limit)
    .fetch_all(db)
    .await?)
}

/// The newest build of a branch: what may supersede another.
pub async fn newest(conn: &mut PgConnection, branch_id: Uuid) -> Result<Option<Build>> {
    Ok(sqlx::query_as(concat!(
        "select ",
        columns!(),
        " from build where branch_id = $1 order by number desc limit 1"
    ))
    .bind(branch_id)
    .fetch_optional(conn)
    .await?)
}

/// The newest build of a branch that has not settled: it waits, runs, or is being rolled out. One that is
/// older than what is live is in nobody's way.
pub(crate) async fn in_flight(conn: &mut PgConnection, branch_id: Uuid) -> Result<Option<Build>> {
    Ok(sqlx::query_as(concat!(
        "select ",
        columns!(),
        " from build where branch_id = $1 and number > (select head_number from branch where id = $1)
              and (state in ('queued', 'running') or (state = 'succeeded' and exists (
                  select from release r where r.build_id = build.id and r.state in ('queued', 'rolling'))))
          order by number desc limit 1"
    ))
    .bind(branch_id)
    .fetch_optional(conn)
    .await?)
}

/// The build that made the branch's head live.
pub(crate) async fn of_head(conn: &mut PgConnection, branch_id: Uuid) -> Result<Option<Build>> {
    Ok(sqlx::query_as(concat!(
        "select ",
        columns!(),
        " from build where branch_id = $1 and number = (select head_number from branch where id = $1)"
    ))
    .bind(branch_id)
    .fetch_optional(conn)
    .await?)
}

pub async fn of_push(db: &PgPool, push_id: Uuid) -> Result<Option<Build>> {
    Ok(sqlx::query_as(concat!("select ", columns!(), " from build where push_id = $1"))
        .bind(push_id)
        .fetch_optional(db)
        .await?)
}

/// An attempt begins: queued, or running under a builder that died. `false`: the build has ended already.
pub async fn start(conn: &mut PgConnection, id: Uuid, attempt: i32) -> Result<bool> {
    moved(
        sqlx::query(
            "update build set state = 'running', attempt = $2, started_at = coalesce(started_at, now())
             where id = $1 and state in ('queued', 'running')",
        )
        .bind(id)
        .bind(attempt)
        .execute(conn)
        .await,
    )
}

/// What the commit says of itself, known once it is fetched.
pub async fn describe(conn: &mut PgConnection, id: Uuid, subject: &str, author: &str) -> Result<()> {
    sqlx::query("update build set subject = $2, author = $3 where id = $1")
        .bind(id)
        .bind(subject)
        .bind(author)
        .execute(conn)
        .await?;
    Ok(())
}

pub async fn succeed(conn: &mut PgConnection, id: Uuid, digest: &str) -> Result<bool> {
    moved(
        sqlx::query(
            "update build set state = 'succeeded', digest = $2, finished_at = now() where id = $1 and state = 'running'",
        )
        .bind(id)
        .bind(digest)
        .execute(conn)
        .await,
    )
}

pub async fn fail(conn: &mut PgConnection, id: Uuid, reason: &Reason) -> Result<bool> {
    moved(
        sqlx::query(
            "update build set state = 'failed', reason = $2, finished_at = now()
             where id = $1 and state in ('queued', 'running')",
        )
        .bind(id)
        .bind(Json(reason))
        .execute(conn)
        .await,
    )
}

/// Ends a build that was told to stop: superseded when its branch has a newer one, else cancelled.
pub async fn stop(conn: &mut PgConnection, build: &Build) -> Result<bool> {
    let newer = newest(conn, build.branch_id).await?.filter(|newest| newest.number > build.number);
    let state = if newer.is_some() { BuildState::Superseded } else { BuildState::Cancelled };
    moved(
        sqlx::query(
            "update build set state = $2::build_state, superseded_by = $3, finished_at = now()
             where id = $1 and state in ('queued', 'running')",
        )
        .bind(build.id)
        .bind(state.as_str())
        .bind(newer.map(|newer| newer.id))
        .execute(conn)
        .await,
    )
}

/// Its job waits no longer. It is running when it waited for an attempt that was not its first.
pub(crate) async fn cancel_queued(conn: &mut PgConnection, id: Uuid) -> Result<bool> {
    moved(
        sqlx::query(
            "update build set state = 'cancelled', finished_at = now()
             where id = $1 and state in ('queued', 'running')",
        )
        .bind(id)
        .execute(conn)
        .await,
    )
}

/// The image a build made; asked for by digest from our side before this is written.
pub async fn record_image(
    conn: &mut PgConnection,
    build: &Build,
    repository: &str,
    digest: &str,
    size_bytes: i64,
) -> Result<()> {
    sqlx::query(
        "insert into image (id, app_id, build_id, repository, digest, size_bytes) values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(Uuid::now_v7())
    .bind(build.app_id)
    .bind(build.id)
    .bind(repository)
    .bind(digest)
    .bind(size_bytes)
    .execute(conn)
    .await?;
    Ok(())
}

/// Stops whatever is being built for an environment. Wake [`JobKind::Build`] and [`JobKind::Report`] after the commit.
pub async fn cancel_for(conn: &mut PgConnection, app_id: Uuid, environment: &str) -> Result<()> {
    let under_way: Vec<(Uuid, Uuid)> = sqlx::query_as(
        "select id, branch_id from build where app_id = $1 and environment = $2 and state in ('queued', 'running')
         order by branch_id",
    )
    .bind(app_id)
    .bind(environment)
    .fetch_all(&mut *conn)
    .await?;
    for (id, branch_id) in under_way {
        if queue::cancel(conn, JobKind::Build, &branch_id.to_string(), id).await?
            && cancel_queued(conn, id).await?
        {
            push::enqueue_report(conn, id).await?;
        }
    }
    Ok(())
}

#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Image {
    pub repository: String,
    pub digest: String,
    pub size_bytes: i64,
}

/// What [`record_image`] wrote down.
pub async fn image_of(db: &PgPool, build_id: Uuid) -> Result<Option<Image>> {
    Ok(sqlx::query_as("select repository, digest, size_bytes from image where build_id = $1")
        .bind(build_id)
        .fetch_optional(db)
        .await?)
}

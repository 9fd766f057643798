//! Builds: their rows and the moves between their states. A move names the state it leaves, so a late writer changes nothing.

pub mod cancel;
pub mod overdue;
pub mod rebuild;

use anyhow::Result;
use domain::reason::Reason;
use domain::state::BuildState;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use crate::branch::Branch;
use crate::{Time, Word, moved, push};

#[derive(Debug, Clone, FromRow)]
pub struct Build {
    pub id: Uuid,
    pub app_id: Uuid,
    pub branch_id: Uuid,
    pub number: i32,
    pub branch: String,
    pub commit: String,
    /// Who pushed it, when it was pushed to Slipway itself, or asked to have it built again.
    pub pusher: Option<String>,
    /// The number of the build whose commit it builds again.
    pub rebuild_of: Option<i32>,
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
    /// Who asked it to stop; `None` too where its branch or environment went.
    pub cancelled_by: Option<String>,
    /// When it was asked to stop. From then on it ends as cancelled.
    pub cancelled_at: Option<Time>,
    pub digest: Option<String>,
    pub created_at: Time,
    pub started_at: Option<Time>,
    pub finished_at: Option<Time>,
}

/// The columns of [`Build`]; a macro, because a query's text must be a constant.
macro_rules! columns {
    () => {
        "id, app_id, branch_id, number, branch, commit, pusher, rebuild_of, environment, no_cache, ttl_seconds, subject, author, state::text as state, attempt, reason, \
         superseded_by, cancelled_by, cancelled_at, digest, created_at, started_at, finished_at"
    };
}
pub(crate) use columns;

/// What a push says of the build that it becomes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewBuild<'a> {
    pub(crate) push_id: Uuid,
    pub(crate) commit: &'a str,
    pub(crate) pusher: Option<&'a str>,
    pub(crate) rebuild_of: Option<i32>,
    pub(crate) environment: &'a str,
    pub(crate) no_cache: bool,
    pub(crate) ttl_seconds: Option<i64>,
}

pub(crate) async fn create(conn: &mut PgConnection, branch: &Branch, new: &NewBuild<'_>) -> Result<Build> {
    Ok(sqlx::query_as(concat!(
        "with numbered as (update app set build_count = build_count + 1 where id = $2 returning build_count)
         insert into build (id, app_id, branch_id, push_id, number, branch, commit, pusher, environment, no_cache, ttl_seconds, rebuild_of)
         select $1, $2, $3, $4, build_count, $5, $6, $7, $8, $9, $10, $11 from numbered returning ",
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
    .bind(new.rebuild_of)
    .fetch_one(conn)
    .await?)
}

/// The queued builds of the branch give way to `newer`; answers their ids. One that was asked to stop, and whose builder
/// died before it began, ends as cancelled all the same.
pub(crate) async fn supersede_queued(conn: &mut PgConnection, newer: &Build) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar(
        "update build set finished_at = now(), superseded_by = case when cancelled_at is null then $2 end,
             state = (case when cancelled_at is null then 'superseded' else 'cancelled' end)::build_state
         where branch_id = $1 and state = 'queued' and id <> $2
           and exists (select from branch where id = $1 and build_policy <> 'every') returning id",
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
/// older than what is live is in nobody's way, and so is one that was asked to stop.
pub(crate) async fn in_flight(conn: &mut PgConnection, branch_id: Uuid) -> Result<Option<Build>> {
    Ok(sqlx::query_as(concat!(
        "select ",
        columns!(),
        " from build where branch_id = $1 and number > (select head_number from branch where id = $1)
              and ((state in ('queued', 'running') and cancelled_at is null) or (state = 'succeeded' and exists (
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

/// The numbers of the builds whose place it took, oldest first.
pub async fn supersedes(db: &PgPool, id: Uuid) -> Result<Vec<i32>> {
    Ok(sqlx::query_scalar("select number from build where superseded_by = $1 order by number")
        .bind(id)
        .fetch_all(db)
        .await?)
}

pub async fn of_push(db: &PgPool, push_id: Uuid) -> Result<Option<Build>> {
    Ok(sqlx::query_as(concat!("select ", columns!(), " from build where push_id = $1"))
        .bind(push_id)
        .fetch_optional(db)
        .await?)
}

/// An attempt begins: queued, or running under a builder that died. `false`: the build has ended already, or was asked
/// to stop under a builder that died of something else.
pub async fn start(conn: &mut PgConnection, id: Uuid, attempt: i32) -> Result<bool> {
    moved(
        sqlx::query(
            "update build set state = 'running', attempt = $2, started_at = coalesce(started_at, now())
             where id = $1 and state in ('queued', 'running') and cancelled_at is null",
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

/// `false`: it has ended already, or ends as cancelled, because that was asked for first.
pub async fn succeed(conn: &mut PgConnection, id: Uuid, digest: &str) -> Result<bool> {
    let succeeded: Option<bool> = sqlx::query_scalar(
        "update build set finished_at = now(), digest = case when cancelled_at is null then $2 end,
             state = (case when cancelled_at is null then 'succeeded' else 'cancelled' end)::build_state
         where id = $1 and state = 'running' returning cancelled_at is null",
    )
    .bind(id)
    .bind(digest)
    .fetch_optional(&mut *conn)
    .await?;
    if succeeded == Some(false) {
        push::enqueue_report(conn, id).await?;
    }
    Ok(succeeded == Some(true))
}

/// One that was asked to stop ends as cancelled: what failed then may be its stopping.
pub async fn fail(conn: &mut PgConnection, id: Uuid, reason: &Reason) -> Result<bool> {
    moved(
        sqlx::query(
            "update build set finished_at = now(), reason = case when cancelled_at is null then $2 end,
                 state = (case when cancelled_at is null then 'failed' else 'cancelled' end)::build_state
             where id = $1 and state in ('queued', 'running')",
        )
        .bind(id)
        .bind(Json(reason))
        .execute(conn)
        .await,
    )
}

/// Ends a build that was told to stop: cancelled when somebody asked for that, superseded when its branch has a newer
/// one, else cancelled all the same. Not one that waits for its turn: older commits of its branch may be wanted too.
pub async fn stop(conn: &mut PgConnection, build: &Build) -> Result<bool> {
    let newer = newest(conn, build.branch_id).await?.filter(|newest| newest.number > build.number);
    let state = if newer.is_some() { BuildState::Superseded } else { BuildState::Cancelled };
    moved(
        sqlx::query(
            "update build set finished_at = now(), superseded_by = case when cancelled_at is null then $3 end,
                 state = (case when cancelled_at is null then $2 else 'cancelled' end)::build_state
             where id = $1 and state in ('queued', 'running')
               and not exists (select from job where kind = 'build' and subject = $1 and state = 'queued')",
        )
        .bind(build.id)
        .bind(state.as_str())
        .bind(newer.map(|newer| newer.id))
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

//! A branch that moved: the push, its build and the jobs, in one transaction. And pushes to Slipway's own remote, which
//! are written down before git takes them, so that after any crash it is known what became of each.

use std::time::Duration;

use anyhow::{Context as _, Result};
use domain::job::JobKind;
use domain::name;
use domain::push_options::PushOptions;
use domain::state::PushState;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use crate::branch::{self, Branch};
use crate::build::{self, Build, NewBuild};
use crate::queue::{NewJob, enqueue, enqueue_after};
use crate::{Word, moved};

const PROGRESS_DELAY: Duration = Duration::from_secs(1);

/// Records that the forge's branch `from` is now `commit`: moves it, supersedes its queued builds, creates the build and
/// queues it. `None`: the branch was moved meanwhile by somebody else, and nothing was recorded.
/// Wake [`JobKind::Build`] and [`JobKind::Report`] after the commit.
pub async fn record(conn: &mut PgConnection, from: &Branch, commit: &str) -> Result<Option<Build>> {
    if !branch::move_to(conn, from, Some(commit)).await? {
        return Ok(None);
    }
    let push_id = Uuid::now_v7();
    sqlx::query("insert into push (id, branch_id, generation, commit) values ($1, $2, $3, $4)")
        .bind(push_id)
        .bind(from.id)
        .bind(from.generation + 1)
        .bind(commit)
        .execute(&mut *conn)
        .await?;
    let default_branch: String = sqlx::query_scalar("select default_branch from app where id = $1")
        .bind(from.app_id)
        .fetch_one(&mut *conn)
        .await?;
    let environment = name::environment(&from.name, &default_branch);
    let new = NewBuild {
        push_id,
        commit,
        pusher: None,
        environment: &environment,
        no_cache: false,
        ttl_seconds: None,
    };
    let build = queue_build(conn, from, &new).await?;
    enqueue_progress_report(conn, build.id).await?;
    Ok(Some(build))
}

async fn queue_build(conn: &mut PgConnection, branch: &Branch, new: &NewBuild<'_>) -> Result<Build> {
    let build = build::create(conn, branch, new).await?;
    // One lane per branch: the newest commit waits. One lock per application: its builds share a source directory
    // in BuildKit, and two at once would transfer everything twice.
    let (lane, lock_key) = (branch.id.to_string(), branch.app_id.to_string());
    enqueue(conn, NewJob { kind: JobKind::Build, lane: &lane, lock_key: &lock_key, subject: build.id })
        .await?;
    // After the lane is locked: a builder that ends a build locks them in this order.
    for superseded in build::supersede_queued(conn, &build).await? {
        enqueue_report(conn, superseded).await?;
    }
    Ok(build)
}

/// A push to Slipway's own remote.
#[derive(Debug, Clone, FromRow)]
pub struct Push {
    pub id: Uuid,
    pub branch_id: Uuid,
    pub commit: String,
    #[sqlx(try_from = "String")]
    pub state: Word<PushState>,
    /// What the client saw as the branch.
    pub old: Option<String>,
    pub pusher: Option<String>,
    pub options: Json<PushOptions>,
}

/// The columns of [`Push`]; a macro, because a query's text must be a constant.
macro_rules! columns {
    () => {
        "id, branch_id, commit, state::text as state, old, pusher, options"
    };
}

/// What is written down before git is given a push.
#[derive(Debug, Clone, Copy)]
pub struct Intent<'a> {
    pub id: Uuid,
    pub app_id: Uuid,
    pub branch: &'a str,
    pub old: Option<&'a str>,
    pub new: &'a str,
    pub pusher: &'a str,
    pub options: &'a PushOptions,
}

pub async fn begin(conn: &mut PgConnection, intent: &Intent<'_>) -> Result<()> {
    sqlx::query(
        "with touched as (
             insert into branch (id, app_id, name) values ($7, $2, $3) on conflict (app_id, name) do nothing returning id
         ), found as (
             select id from touched union all select id from branch where app_id = $2 and name = $3 limit 1
         )
         insert into push (id, branch_id, state, old, commit, pusher, options)
         select $1, id, 'receiving', $4, $5, $6, $8 from found",
    )
    .bind(intent.id)
    .bind(intent.app_id)
    .bind(intent.branch)
    .bind(intent.old)
    .bind(intent.new)
    .bind(intent.pusher)
    .bind(Uuid::now_v7())
    .bind(Json(intent.options))
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn get(db: &PgPool, id: Uuid) -> Result<Option<Push>> {
    Ok(sqlx::query_as(concat!("select ", columns!(), " from push where id = $1"))
        .bind(id)
        .fetch_optional(db)
        .await?)
}

/// It is still being received: nobody else may judge it yet.
pub async fn renew(db: &PgPool, id: Uuid) -> Result<()> {
    sqlx::query("update push set seen_at = now() where id = $1 and state = 'receiving'")
        .bind(id)
        .execute(db)
        .await?;
    Ok(())
}

/// Pushes of an application that nobody has renewed for `seconds`, oldest first.
pub async fn forgotten(db: &PgPool, app_id: Uuid, seconds: i64) -> Result<Vec<Push>> {
    Ok(sqlx::query_as(concat!(
        "select ",
        columns!(),
        " from push where state = 'receiving' and seen_at <= now() - make_interval(secs => $2)
           and branch_id in (select id from branch where app_id = $1) order by id"
    ))
    .bind(app_id)
    .bind(seconds as f64)
    .fetch_all(db)
    .await?)
}

/// Whether a later push of its branch was decided before it.
pub async fn is_overtaken(db: &PgPool, push: &Push) -> Result<bool> {
    Ok(sqlx::query_scalar(
        "select exists (select from push where branch_id = $1 and id > $2 and state in ('accepted', 'attached'))",
    )
    .bind(push.branch_id)
    .bind(push.id)
    .fetch_one(db)
    .await?)
}

/// What a push meets; kept so until the caller's transaction ends.
#[derive(Debug, Clone)]
pub struct Held {
    pub push: Push,
    pub branch: Branch,
    pub default_branch: String,
    /// The branch's newest build that has not settled.
    pub in_flight: Option<Build>,
    /// The build that made this very commit live, when that is what the branch shows.
    pub live: Option<Build>,
}

#[derive(FromRow)]
struct Found {
    #[sqlx(flatten)]
    push: Push,
    default_branch: String,
}

/// `None`: there is no such push.
pub async fn hold(conn: &mut PgConnection, id: Uuid) -> Result<Option<Held>> {
    let found: Option<Found> = sqlx::query_as(concat!(
        "select ",
        columns!(),
        ", (select a.default_branch from branch b join app a on a.id = b.app_id where b.id = branch_id) as default_branch
           from push where id = $1 for update"
    ))
    .bind(id)
    .fetch_optional(&mut *conn)
    .await?;
    let Some(Found { push, default_branch }) = found else { return Ok(None) };
    let branch = branch::lock(conn, push.branch_id).await?;
    let in_flight = build::in_flight(conn, branch.id).await?;
    let live = match branch.head.as_ref() == Some(&push.commit) {
        true => build::of_head(conn, branch.id).await?,
        false => None,
    };
    Ok(Some(Held { push, branch, default_branch, in_flight, live }))
}

/// The only place where a push to Slipway's own remote becomes a build. Idempotent: a second call finds the first one's.
/// Wake [`JobKind::Build`] after the commit.
pub async fn accept(conn: &mut PgConnection, held: &Held) -> Result<Build> {
    let Held { push, branch, .. } = held;
    let took = branch::move_to(conn, branch, Some(&push.commit)).await?;
    anyhow::ensure!(took, "the branch {} moved although its row is locked", branch.name);
    sqlx::query("update push set state = 'accepted', generation = $2 where id = $1 and state = 'receiving'")
        .bind(push.id)
        .bind(branch.generation + 1)
        .execute(&mut *conn)
        .await?;
    let usual = || name::environment_of_push(&branch.name, &held.default_branch);
    let environment = push.options.environment.clone().unwrap_or_else(usual);
    let new = NewBuild {
        push_id: push.id,
        commit: &push.commit,
        pusher: push.pusher.as_deref(),
        environment: &environment,
        no_cache: push.options.no_cache,
        ttl_seconds: push.options.ttl_seconds.map(i64::try_from).transpose().context("the push's ttl")?,
    };
    queue_build(conn, branch, &new).await
}

/// Ends a push without a build of its own. `false`: it has ended already.
pub async fn end(conn: &mut PgConnection, id: Uuid, state: PushState, why: Option<&str>) -> Result<bool> {
    moved(
        sqlx::query("update push set state = $2::push_state, why = $3 where id = $1 and state = 'receiving'")
            .bind(id)
            .bind(state.as_str())
            .bind(why)
            .execute(conn)
            .await,
    )
}

/// The states of those of `ids` that there are.
pub async fn states(db: &PgPool, ids: &[Uuid]) -> Result<Vec<(Uuid, Word<PushState>)>> {
    let rows: Vec<(Uuid, String)> =
        sqlx::query_as("select id, state::text from push where id = any($1)").bind(ids).fetch_all(db).await?;
    rows.into_iter().map(|(id, state)| Ok((id, Word::try_from(state)?))).collect()
}

/// Queues telling the forge, if there is one, how a build stands, now that it has ended.
pub async fn enqueue_report(conn: &mut PgConnection, build_id: Uuid) -> Result<()> {
    report_after(conn, build_id, Duration::ZERO).await
}

/// Queues telling the forge that a build goes on. Not at once: most are live before a forge could show it, and a
/// later state takes the place of this one.
pub async fn enqueue_progress_report(conn: &mut PgConnection, build_id: Uuid) -> Result<()> {
    report_after(conn, build_id, PROGRESS_DELAY).await
}

async fn report_after(conn: &mut PgConnection, build_id: Uuid, delay: Duration) -> Result<()> {
    let has_forge: bool = sqlx::query_scalar(
        "select exists (select from build b join app a on a.id = b.app_id where b.id = $1 and a.forge is not null)",
    )
    .bind(build_id)
    .fetch_one(&mut *conn)
    .await?;
    if !has_forge {
        return Ok(());
    }
    let key = build_id.to_string();
    let job = NewJob { kind: JobKind::Report, lane: &key, lock_key: &key, subject: build_id };
    enqueue_after(conn, job, delay).await?;
    Ok(())
}

/// Those of `ids` whose commits nothing here asks for again: their pushes ended without a build, or their builds have
/// ended and are not the newest of their branch.
pub async fn needless(db: &PgPool, ids: &[Uuid]) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar(
        "select p.id from push p left join build b on b.push_id = p.id
         where p.id = any($1) and (
             p.state in ('attached', 'rejected', 'aborted')
             or (b.state not in ('queued', 'running') and exists (
                     select from build newer where newer.branch_id = b.branch_id and newer.number > b.number))
         )",
    )
    .bind(ids)
    .fetch_all(db)
    .await?)
}

#[cfg(test)]
mod tests;

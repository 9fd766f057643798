//! A branch that moved: the push, its build and the jobs, in one transaction. And pushes to Slipway's own remote, which
//! are written down before git takes them, so that after any crash it is known what became of each.

use std::time::Duration;

use anyhow::{Context as _, Result};
use domain::job::{BuildPolicy, JobKind};
use domain::name;
use domain::push_options::PushOptions;
use domain::state::PushState;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use crate::branch::{self, Branch};
use crate::build::{self, Build, NewBuild};
use crate::queue::{self, NewJob, Priority, enqueue_after};
use crate::{Word, moved, traced};

const PROGRESS_DELAY: Duration = Duration::from_secs(1);

/// Records that the forge's branch `from` is now `commit`: moves it, supersedes its queued builds, creates the build and
/// queues it. `None`: the branch was moved meanwhile by somebody else, and nothing was recorded.
/// Wake [`JobKind::Build`] and [`JobKind::Report`] after the commit.
pub async fn record(conn: &mut PgConnection, from: &Branch, commit: &str) -> Result<Option<Build>> {
    let default_branch: String = sqlx::query_scalar("select default_branch from app where id = $1")
        .bind(from.app_id)
        .fetch_one(&mut *conn)
        .await?;
    let environment = name::environment(&from.name, &default_branch);
    let new = NewBuild {
        push_id: Uuid::now_v7(),
        commit,
        pusher: None,
        rebuild_of: None,
        environment: &environment,
        no_cache: false,
        ttl_seconds: None,
    };
    let build = write(conn, from, &new, Priority::Push).await?;
    if let Some(build) = &build {
        traced::go_on_from_delivery(conn, build.id).await?;
    }
    Ok(build)
}

/// [`record`], of a push that is not there yet. Whoever pushed nothing has one, too: each build has.
pub(crate) async fn write(
    conn: &mut PgConnection,
    from: &Branch,
    new: &NewBuild<'_>,
    priority: Priority,
) -> Result<Option<Build>> {
    if !branch::move_to(conn, from, Some(new.commit)).await? {
        return Ok(None);
    }
    sqlx::query("insert into push (id, branch_id, generation, commit) values ($1, $2, $3, $4)")
        .bind(new.push_id)
        .bind(from.id)
        .bind(from.generation + 1)
        .bind(new.commit)
        .execute(&mut *conn)
        .await?;
    let build = build::create(conn, from, new).await?;
    queue_build(conn, &build, priority).await?;
    supersede_queued(conn, &build).await?;
    enqueue_progress_report(conn, build.id).await?;
    Ok(Some(build))
}

async fn queue_build(conn: &mut PgConnection, build: &Build, priority: Priority) -> Result<()> {
    // One lane per branch: the newest commit waits. Or one per build, where each is wanted. One of a branch runs.
    let (branch_key, build_key) = (build.branch_id.to_string(), build.id.to_string());
    let policy = queue::lock_branch_lane(conn, build.branch_id).await?;
    let job = NewJob {
        kind: JobKind::Build,
        lane: if policy == BuildPolicy::Every { &build_key } else { &branch_key },
        lock_key: &branch_key,
        subject: build.id,
        turn_of: Some(build.app_id),
        priority,
        stops_running: policy == BuildPolicy::Newest,
    };
    queue::put(conn, job, Duration::ZERO).await?;
    Ok(())
}

/// After the lane is locked: a builder that ends a build locks them in this order.
async fn supersede_queued(conn: &mut PgConnection, newer: &Build) -> Result<()> {
    for superseded in build::supersede_queued(conn, newer).await? {
        enqueue_report(conn, superseded).await?;
    }
    Ok(())
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
    app_id: Uuid,
    name: String,
    tip: Option<String>,
    generation: i32,
    head: Option<String>,
    default_branch: String,
}

/// `None`: there is no such push.
pub async fn hold(conn: &mut PgConnection, id: Uuid) -> Result<Option<Held>> {
    // A branch as [`branch::lock`] keeps it.
    let found: Option<Found> = sqlx::query_as(
        "select p.id, p.branch_id, p.commit, p.state::text as state, p.old, p.pusher, p.options,
                b.app_id, b.name, b.commit as tip, b.generation, b.head, a.default_branch
         from push p join branch b on b.id = p.branch_id join app a on a.id = b.app_id
         where p.id = $1 for update of p for no key update of b",
    )
    .bind(id)
    .fetch_optional(&mut *conn)
    .await?;
    let Some(Found { push, app_id, name, tip, generation, head, default_branch }) = found else {
        return Ok(None);
    };
    let branch = Branch { id: push.branch_id, app_id, name, commit: tip, generation, head };
    // Another statement, which sees what the branch was waited for.
    let in_flight = build::in_flight(conn, branch.id).await?;
    let live = match branch.head.as_ref() == Some(&push.commit) {
        true => build::of_head(conn, branch.id).await?,
        false => None,
    };
    Ok(Some(Held { push, branch, default_branch, in_flight, live }))
}

#[derive(FromRow)]
struct Created {
    #[sqlx(flatten)]
    build: Build,
    /// An older build of the branch has not begun yet.
    is_superseding: bool,
}

/// The only place where a push to Slipway's own remote becomes a build. A push that was decided before becomes none.
/// Wake [`JobKind::Build`] after the commit.
pub async fn accept(conn: &mut PgConnection, held: &Held) -> Result<Build> {
    let Held { push, branch, .. } = held;
    let usual = || name::environment_of_push(&branch.name, &held.default_branch);
    let environment = push.options.environment.clone().unwrap_or_else(usual);
    // One statement: the client waits for each of them.
    let created: Option<Created> = sqlx::query_as(concat!(
        "with moved as (
             update branch set commit = $4, generation = generation + 1, resolved_at = now()
             where id = $2 and generation = $3 returning app_id, generation
         ), decided as (
             update push set state = 'accepted', generation = moved.generation
             from moved where push.id = $1 and state = 'receiving' returning push.id
         ), numbered as (
             update app set build_count = build_count + 1
             from moved, decided where app.id = moved.app_id returning app.id, build_count
         )
         insert into build (id, app_id, branch_id, push_id, number, branch, commit, pusher, environment, no_cache, ttl_seconds)
         select $5, id, $2, $1, build_count, $6, $4, $7, $8, $9, $10 from numbered
         returning ",
        build::columns!(),
        ", exists (select from build older where older.branch_id = $2 and older.state = 'queued') as is_superseding"
    ))
    .bind(push.id)
    .bind(branch.id)
    .bind(branch.generation)
    .bind(&push.commit)
    .bind(Uuid::now_v7())
    .bind(&branch.name)
    .bind(push.pusher.as_deref())
    .bind(&environment)
    .bind(push.options.no_cache)
    .bind(push.options.ttl_seconds.map(i64::try_from).transpose().context("the push's ttl")?)
    .fetch_optional(&mut *conn)
    .await?;
    let Some(Created { build, is_superseding }) = created else {
        anyhow::bail!("the push {} or its branch {} moved although it is locked", push.id, branch.name);
    };
    queue_build(conn, &build, Priority::Push).await?;
    if is_superseding {
        supersede_queued(conn, &build).await?;
    }
    Ok(build)
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
    enqueue_after(conn, NewJob::keyed(JobKind::Report, &key, build_id), delay).await?;
    Ok(())
}

/// Those of `ids` whose commits nothing here asks for again: their pushes ended without a build, or their builds have
/// ended and a newer commit of the branch was built since. A commit that is built again is kept by its first push.
pub async fn needless(db: &PgPool, ids: &[Uuid]) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar(
        "select p.id from push p left join build b on b.push_id = p.id
         where p.id = any($1) and (
             p.state in ('attached', 'rejected', 'aborted')
             or (b.state not in ('queued', 'running') and exists (
                     select from build newer
                     where newer.branch_id = b.branch_id and newer.number > b.number and newer.commit <> b.commit))
         )",
    )
    .bind(ids)
    .fetch_all(db)
    .await?)
}

#[cfg(test)]
mod tests;

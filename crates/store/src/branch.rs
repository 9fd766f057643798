//! Branches: what each was when it was last resolved on its forge or pushed here, and which commit of it is live.

use anyhow::Result;
use domain::job::JobKind;
use sqlx::{FromRow, PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use crate::build::cancel;
use crate::queue::{NewJob, enqueue};

#[derive(Debug, Clone, FromRow)]
pub struct Branch {
    pub id: Uuid,
    pub app_id: Uuid,
    pub name: String,
    /// `None`: never resolved, or gone from the forge.
    pub commit: Option<String>,
    pub generation: i32,
    /// What git clients are shown: its newest commit that was live. Only of branches that are pushed here.
    pub head: Option<String>,
}

/// The columns of [`Branch`]; a macro, because a query's text must be a constant.
macro_rules! columns {
    () => {
        "id, app_id, name, commit, generation, head"
    };
}

/// The branch's row, made when it is new. A row that is there is not locked: a resolve that ends updates it while it
/// holds the lane's lock, which whoever touches a branch takes next.
pub async fn touch(conn: &mut PgConnection, app_id: Uuid, name: &str) -> Result<Branch> {
    sqlx::query(
        "insert into branch (id, app_id, name) values ($1, $2, $3) on conflict (app_id, name) do nothing",
    )
    .bind(Uuid::now_v7())
    .bind(app_id)
    .bind(name)
    .execute(&mut *conn)
    .await?;
    Ok(sqlx::query_as(concat!("select ", columns!(), " from branch where app_id = $1 and name = $2"))
        .bind(app_id)
        .bind(name)
        .fetch_one(conn)
        .await?)
}

/// Makes a row for the default branch of every application that has none, so that polling knows of it.
pub async fn touch_default_branches(db: &PgPool) -> Result<()> {
    sqlx::query(
        "insert into branch (id, app_id, name) select gen_random_uuid(), id, default_branch from app
         where forge is not null
         on conflict (app_id, name) do nothing",
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn get(db: &PgPool, id: Uuid) -> Result<Option<Branch>> {
    Ok(sqlx::query_as(concat!("select ", columns!(), " from branch where id = $1"))
        .bind(id)
        .fetch_optional(db)
        .await?)
}

/// Queues the question what the branch is now.
pub async fn enqueue_resolve(conn: &mut PgConnection, branch_id: Uuid) -> Result<()> {
    let key = branch_id.to_string();
    enqueue(conn, NewJob::keyed(JobKind::Resolve, &key, branch_id)).await?;
    Ok(())
}

/// Moves the branch by compare-and-set. `false`: somebody else moved it since `from` was read.
pub async fn move_to(conn: &mut PgConnection, from: &Branch, commit: Option<&str>) -> Result<bool> {
    let moved = sqlx::query(
        "update branch set commit = $3, generation = generation + 1, resolved_at = now() where id = $1 and generation = $2",
    )
    .bind(from.id)
    .bind(from.generation)
    .bind(commit)
    .execute(conn)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// Resolved, and it had not moved.
pub async fn resolved(conn: &mut PgConnection, id: Uuid) -> Result<()> {
    sqlx::query("update branch set resolved_at = now() where id = $1").bind(id).execute(conn).await?;
    Ok(())
}

/// Branches of forges of `kinds` that were not resolved for `seconds` and have no question queued.
pub async fn due(db: &PgPool, kinds: &[&str], seconds: i64) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar(
        "select b.id from branch b join app a on a.id = b.app_id
         where a.forge = any($1) and (b.commit is not null or b.name = a.default_branch)
           and coalesce(b.resolved_at, 'epoch') < now() - make_interval(secs => $2)
           and not exists (select from job j where j.kind = 'resolve' and j.lane = b.id::text and j.state = 'queued')
         order by b.resolved_at nulls first limit 100",
    )
    .bind(kinds)
    .bind(seconds as f64)
    .fetch_all(db)
    .await?)
}

/// As [`get`], kept as it is until the caller's transaction ends. Not its key: who inserts a row that names the branch
/// may hold a lane that the caller takes next.
pub(crate) async fn lock(conn: &mut PgConnection, id: Uuid) -> Result<Branch> {
    Ok(sqlx::query_as(concat!("select ", columns!(), " from branch where id = $1 for no key update"))
        .bind(id)
        .fetch_one(conn)
        .await?)
}

/// The heads of an application's branches: what its git remote shows.
pub async fn heads(db: impl PgExecutor<'_>, app_id: Uuid) -> Result<Vec<(String, String)>> {
    Ok(sqlx::query_as("select name, head from branch where app_id = $1 and head is not null order by name")
        .bind(app_id)
        .fetch_all(db)
        .await?)
}

/// The build's commit is live: git shows it from now on, unless a newer build's was live before.
pub async fn advance_head(conn: &mut PgConnection, build_id: Uuid) -> Result<()> {
    sqlx::query(
        "update branch set head = b.commit, head_number = b.number
         from build b join app a on a.id = b.app_id
         where b.id = $1 and a.forge is null and branch.id = b.branch_id and branch.head_number < b.number",
    )
    .bind(build_id)
    .execute(conn)
    .await?;
    Ok(())
}

/// The branch is no more: git shows it no longer, and what was being built of it is stopped.
/// Wake [`JobKind::Build`] and [`JobKind::Report`] after the commit.
pub async fn delete(conn: &mut PgConnection, id: Uuid) -> Result<()> {
    let branch = lock(conn, id).await?;
    move_to(conn, &branch, None).await?;
    sqlx::query("update branch set head = null where id = $1").bind(id).execute(&mut *conn).await?;
    cancel::of_branch(conn, id).await
}

/// A branch by its name.
pub async fn by_name(db: &PgPool, app_id: Uuid, name: &str) -> Result<Option<Branch>> {
    Ok(sqlx::query_as(concat!("select ", columns!(), " from branch where app_id = $1 and name = $2"))
        .bind(app_id)
        .bind(name)
        .fetch_optional(db)
        .await?)
}

/// Keeps the branch of a build as it is until the caller's transaction ends. Who makes a release live calls it first:
/// who deletes a branch locks it before it locks the lanes of its environments.
pub async fn hold_of_build(conn: &mut PgConnection, build_id: Uuid) -> Result<()> {
    sqlx::query(
        "select from branch where id = (select branch_id from build where id = $1) for no key update",
    )
    .bind(build_id)
    .execute(conn)
    .await?;
    Ok(())
}

//! Branches: what each was when it was last resolved on its forge.

use anyhow::Result;
use domain::job::JobKind;
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use crate::queue::{NewJob, enqueue};

#[derive(Debug, Clone, FromRow)]
pub struct Branch {
    pub id: Uuid,
    pub app_id: Uuid,
    pub name: String,
    /// `None`: never resolved, or gone from the forge.
    pub commit: Option<String>,
    pub generation: i32,
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
    Ok(sqlx::query_as(
        "select id, app_id, name, commit, generation from branch where app_id = $1 and name = $2",
    )
    .bind(app_id)
    .bind(name)
    .fetch_one(conn)
    .await?)
}

/// Makes a row for the default branch of every application that has none, so that polling knows of it.
pub async fn touch_default_branches(db: &PgPool) -> Result<()> {
    sqlx::query(
        "insert into branch (id, app_id, name) select gen_random_uuid(), id, default_branch from app
         on conflict (app_id, name) do nothing",
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn get(db: &PgPool, id: Uuid) -> Result<Option<Branch>> {
    Ok(sqlx::query_as("select id, app_id, name, commit, generation from branch where id = $1")
        .bind(id)
        .fetch_optional(db)
        .await?)
}

/// Queues the question what the branch is now.
pub async fn enqueue_resolve(conn: &mut PgConnection, branch_id: Uuid) -> Result<()> {
    let key = branch_id.to_string();
    enqueue(conn, NewJob { kind: JobKind::Resolve, lane: &key, lock_key: &key, subject: branch_id }).await?;
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

//! Environments: where an application's branch runs.

use anyhow::Result;
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use crate::Time;

mod removal;
#[cfg(test)]
mod tests;

pub use removal::{ask_due_removal, ask_removal, begin_removal, due_removals, end_removal};

#[derive(Debug, Clone, FromRow)]
pub struct Environment {
    pub id: Uuid,
    pub app_id: Uuid,
    pub branch_id: Uuid,
    pub name: String,
    pub namespace: String,
    /// When it goes by itself; `None`: it stays.
    pub expires_at: Option<Time>,
    /// Since when it is wanted gone; it is there until its namespace is.
    pub removal_asked_at: Option<Time>,
    pub created_at: Time,
}

/// The columns of [`Environment`]; a macro, because a query's text must be a constant.
macro_rules! columns {
    () => {
        "id, app_id, branch_id, name, namespace, expires_at, removal_asked_at, created_at"
    };
}

/// What a build says of the environment that it is to run in.
#[derive(Debug, Clone, Copy)]
pub struct NewEnvironment<'a> {
    pub app_id: Uuid,
    pub branch_id: Uuid,
    pub name: &'a str,
    pub namespace: &'a str,
    /// How long it is wanted from now on; `None`: until somebody removes it.
    pub ttl_seconds: Option<i64>,
}

/// The environment's row, made when it is new. A branch that takes over an environment's name takes the environment,
/// and its newest build alone says how long it stays: a removal that was asked for before is taken back.
/// Call it in the transaction that creates the release.
pub async fn ensure(conn: &mut PgConnection, new: &NewEnvironment<'_>) -> Result<Environment> {
    Ok(sqlx::query_as(concat!(
        "insert into environment (id, app_id, branch_id, name, namespace, expires_at)
         values ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))
         on conflict (app_id, name) do update
         set branch_id = excluded.branch_id, expires_at = excluded.expires_at, removal_asked_at = null
         returning ",
        columns!()
    ))
    .bind(Uuid::now_v7())
    .bind(new.app_id)
    .bind(new.branch_id)
    .bind(new.name)
    .bind(new.namespace)
    .bind(new.ttl_seconds.map(|seconds| seconds as f64))
    .fetch_one(conn)
    .await?)
}

pub async fn get(db: &PgPool, id: Uuid) -> Result<Option<Environment>> {
    Ok(sqlx::query_as(concat!("select ", columns!(), " from environment where id = $1"))
        .bind(id)
        .fetch_optional(db)
        .await?)
}

pub async fn by_name(db: &PgPool, app_id: Uuid, name: &str) -> Result<Option<Environment>> {
    Ok(sqlx::query_as(concat!("select ", columns!(), " from environment where app_id = $1 and name = $2"))
        .bind(app_id)
        .bind(name)
        .fetch_optional(db)
        .await?)
}

pub async fn list(db: &PgPool, app_id: Uuid) -> Result<Vec<Environment>> {
    Ok(sqlx::query_as(concat!(
        "select ",
        columns!(),
        " from environment where app_id = $1 order by created_at"
    ))
    .bind(app_id)
    .fetch_all(db)
    .await?)
}

/// The environments that a branch was the last to run in.
pub async fn of_branch(conn: &mut PgConnection, branch_id: Uuid) -> Result<Vec<Environment>> {
    Ok(sqlx::query_as(concat!("select ", columns!(), " from environment where branch_id = $1 order by id"))
        .bind(branch_id)
        .fetch_all(conn)
        .await?)
}

/// The namespaces of all environments, also of those that are being removed.
pub async fn namespaces(db: &PgPool) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar("select namespace from environment").fetch_all(db).await?)
}

/// An environment's names, for those that know it by its host.
#[derive(Debug, Clone, FromRow)]
pub struct Named {
    pub id: Uuid,
    pub app: String,
    pub name: String,
}

/// All environments by name but those that are wanted gone: for who asks by host these are gone already.
pub async fn all_named(db: &PgPool) -> Result<Vec<Named>> {
    Ok(sqlx::query_as(
        "select e.id, a.name as app, e.name from environment e join app a on a.id = e.app_id
         where e.removal_asked_at is null",
    )
    .fetch_all(db)
    .await?)
}

//! Environments: where an application's branch runs.

use anyhow::Result;
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use crate::Time;

#[derive(Debug, Clone, FromRow)]
pub struct Environment {
    pub id: Uuid,
    pub app_id: Uuid,
    pub branch_id: Uuid,
    pub name: String,
    pub namespace: String,
    pub created_at: Time,
}

/// The environment's row, made when it is new. A branch that takes over an environment's name takes the environment.
pub async fn ensure(
    conn: &mut PgConnection,
    app_id: Uuid,
    branch_id: Uuid,
    name: &str,
    namespace: &str,
) -> Result<Environment> {
    Ok(sqlx::query_as(
        "insert into environment (id, app_id, branch_id, name, namespace) values ($1, $2, $3, $4, $5)
         on conflict (app_id, name) do update set branch_id = excluded.branch_id
         returning id, app_id, branch_id, name, namespace, created_at",
    )
    .bind(Uuid::now_v7())
    .bind(app_id)
    .bind(branch_id)
    .bind(name)
    .bind(namespace)
    .fetch_one(conn)
    .await?)
}

pub async fn get(db: &PgPool, id: Uuid) -> Result<Option<Environment>> {
    Ok(sqlx::query_as(
        "select id, app_id, branch_id, name, namespace, created_at from environment where id = $1",
    )
    .bind(id)
    .fetch_optional(db)
    .await?)
}

pub async fn list(db: &PgPool, app_id: Uuid) -> Result<Vec<Environment>> {
    Ok(sqlx::query_as(
        "select id, app_id, branch_id, name, namespace, created_at from environment where app_id = $1 order by created_at",
    )
    .bind(app_id)
    .fetch_all(db)
    .await?)
}

/// An environment's names, for those that know it by its host.
#[derive(Debug, Clone, FromRow)]
pub struct Named {
    pub id: Uuid,
    pub app: String,
    pub name: String,
}

/// All environments by name.
pub async fn all_named(db: &PgPool) -> Result<Vec<Named>> {
    Ok(sqlx::query_as("select e.id, a.name as app, e.name from environment e join app a on a.id = e.app_id")
        .fetch_all(db)
        .await?)
}

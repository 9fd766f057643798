//! Applications and their hooks.

use anyhow::Result;
use domain::forge_kind::ForgeKind;
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use crate::{Time, Word};

#[derive(Debug, Clone, FromRow)]
pub struct App {
    pub id: Uuid,
    pub name: String,
    #[sqlx(try_from = "String")]
    pub forge: Word<ForgeKind>,
    pub repo_url: String,
    pub forge_user: Option<String>,
    pub forge_token: Option<String>,
    pub api_url: Option<String>,
    pub default_branch: String,
    pub dockerfile: String,
    pub port: i32,
    pub health_path: String,
    pub created_at: Time,
}

#[derive(Debug, Clone)]
pub struct NewApp<'a> {
    pub name: &'a str,
    pub forge: ForgeKind,
    pub repo_url: &'a str,
    pub forge_user: Option<&'a str>,
    pub forge_token: Option<&'a str>,
    pub api_url: Option<&'a str>,
    pub default_branch: &'a str,
    pub dockerfile: &'a str,
    pub port: u16,
    pub health_path: &'a str,
}

#[derive(Debug, Clone, FromRow)]
pub struct Hook {
    pub id: Uuid,
    pub app_id: Uuid,
    pub secret: String,
}

/// `None`: the name is taken.
pub async fn create(conn: &mut PgConnection, app: &NewApp<'_>) -> Result<Option<App>> {
    Ok(sqlx::query_as(
        "insert into app (id, name, forge, repo_url, forge_user, forge_token, api_url, default_branch, dockerfile, port, health_path)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) on conflict (name) do nothing returning *",
    )
    .bind(Uuid::now_v7())
    .bind(app.name)
    .bind(app.forge.as_str())
    .bind(app.repo_url)
    .bind(app.forge_user)
    .bind(app.forge_token)
    .bind(app.api_url)
    .bind(app.default_branch)
    .bind(app.dockerfile)
    .bind(i32::from(app.port))
    .bind(app.health_path)
    .fetch_optional(conn)
    .await?)
}

pub async fn create_hook(conn: &mut PgConnection, app_id: Uuid, secret: &str) -> Result<Hook> {
    Ok(sqlx::query_as(
        "insert into hook (id, app_id, secret) values ($1, $2, $3) returning id, app_id, secret",
    )
    .bind(Uuid::new_v4())
    .bind(app_id)
    .bind(secret)
    .fetch_one(conn)
    .await?)
}

pub async fn get(db: &PgPool, id: Uuid) -> Result<Option<App>> {
    Ok(sqlx::query_as("select * from app where id = $1").bind(id).fetch_optional(db).await?)
}

pub async fn by_name(db: &PgPool, name: &str) -> Result<Option<App>> {
    Ok(sqlx::query_as("select * from app where name = $1").bind(name).fetch_optional(db).await?)
}

pub async fn list(db: &PgPool) -> Result<Vec<App>> {
    Ok(sqlx::query_as("select * from app order by name").fetch_all(db).await?)
}

pub async fn hook(db: &PgPool, id: Uuid) -> Result<Option<Hook>> {
    Ok(sqlx::query_as("select id, app_id, secret from hook where id = $1")
        .bind(id)
        .fetch_optional(db)
        .await?)
}

pub async fn hook_of(db: &PgPool, app_id: Uuid) -> Result<Option<Hook>> {
    Ok(sqlx::query_as("select id, app_id, secret from hook where app_id = $1 order by created_at limit 1")
        .bind(app_id)
        .fetch_optional(db)
        .await?)
}

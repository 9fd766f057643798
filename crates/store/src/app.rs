//! Applications and their hooks.

use anyhow::Result;
use domain::forge_kind::ForgeKind;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, PgPool, Row as _};
use uuid::Uuid;

use crate::Time;

#[derive(Debug, Clone)]
pub struct App {
    pub id: Uuid,
    pub name: String,
    /// `None`: it is pushed to Slipway itself.
    pub forge: Option<Forge>,
    pub default_branch: String,
    pub dockerfile: String,
    /// The folder whose files the Dockerfile may copy; empty: all of the repository.
    pub context: String,
    /// The stage of the Dockerfile that is wanted, when it is not the last.
    pub target: Option<String>,
    /// `None`: the one that the image exposes.
    pub port: Option<i32>,
    pub health_path: String,
    pub created_at: Time,
}

/// Where an application's repository is, when that is not here.
#[derive(Debug, Clone)]
pub struct Forge {
    pub kind: ForgeKind,
    pub repo_url: String,
    pub user: Option<String>,
    pub token: Option<String>,
    pub api_url: Option<String>,
}

impl<'r> FromRow<'r, PgRow> for App {
    fn from_row(row: &'r PgRow) -> sqlx::Result<App> {
        Ok(App {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            forge: forge(row)?,
            default_branch: row.try_get("default_branch")?,
            dockerfile: row.try_get("dockerfile")?,
            context: row.try_get("context")?,
            target: row.try_get("target")?,
            port: row.try_get("port")?,
            health_path: row.try_get("health_path")?,
            created_at: row.try_get("created_at")?,
        })
    }
}

fn forge(row: &PgRow) -> sqlx::Result<Option<Forge>> {
    let Some(kind) = row.try_get::<Option<String>, _>("forge")? else { return Ok(None) };
    Ok(Some(Forge {
        kind: kind.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
        repo_url: row.try_get("repo_url")?,
        user: row.try_get("forge_user")?,
        token: row.try_get("forge_token")?,
        api_url: row.try_get("api_url")?,
    }))
}

#[derive(Debug, Clone)]
pub struct NewApp<'a> {
    pub name: &'a str,
    pub forge: Option<Forge>,
    pub default_branch: &'a str,
    pub dockerfile: &'a str,
    pub context: &'a str,
    pub target: Option<&'a str>,
    pub port: Option<u16>,
    pub health_path: &'a str,
}

impl<'a> NewApp<'a> {
    /// With the defaults that a first push takes.
    pub const fn pushed(name: &'a str, default_branch: &'a str) -> NewApp<'a> {
        NewApp {
            name,
            forge: None,
            default_branch,
            dockerfile: "Dockerfile",
            context: "",
            target: None,
            port: None,
            health_path: "/",
        }
    }
}

#[derive(Debug, Clone, FromRow)]
pub struct Hook {
    pub id: Uuid,
    pub app_id: Uuid,
    pub secret: String,
}

/// `None`: the name is taken.
pub async fn create(conn: &mut PgConnection, app: &NewApp<'_>) -> Result<Option<App>> {
    let forge = app.forge.as_ref();
    Ok(sqlx::query_as(
        "with made as (
             insert into app (id, name, forge, repo_url, forge_user, forge_token, api_url, default_branch, dockerfile, port, health_path, context, target)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) on conflict (name) do nothing returning *
         ), placed as (insert into turn (app_id) select id from made)
         select * from made",
    )
    .bind(Uuid::now_v7())
    .bind(app.name)
    .bind(forge.map(|forge| forge.kind.as_str()))
    .bind(forge.map(|forge| forge.repo_url.as_str()))
    .bind(forge.and_then(|forge| forge.user.as_deref()))
    .bind(forge.and_then(|forge| forge.token.as_deref()))
    .bind(forge.and_then(|forge| forge.api_url.as_deref()))
    .bind(app.default_branch)
    .bind(app.dockerfile)
    .bind(app.port.map(i32::from))
    .bind(app.health_path)
    .bind(app.context)
    .bind(app.target)
    .fetch_optional(conn)
    .await?)
}

/// What of the repository is built, and where it listens, from now on; what is left out stays.
#[derive(Debug, Clone, Copy, Default)]
pub struct Change<'a> {
    pub dockerfile: Option<&'a str>,
    pub context: Option<&'a str>,
    /// `Some(None)`: the last stage.
    pub target: Option<Option<&'a str>>,
    /// `Some(None)`: the one that the image exposes.
    pub port: Option<Option<u16>>,
}

/// Holds for the builds that begin from now on. Answers the application as it is then.
pub async fn change(conn: &mut PgConnection, app_id: Uuid, change: &Change<'_>) -> Result<App> {
    Ok(sqlx::query_as(
        "update app set dockerfile = coalesce($2, dockerfile), context = coalesce($3, context),
             target = case when $4 then $5 else target end, port = case when $6 then $7 else port end
         where id = $1 returning *",
    )
    .bind(app_id)
    .bind(change.dockerfile)
    .bind(change.context)
    .bind(change.target.is_some())
    .bind(change.target.flatten())
    .bind(change.port.is_some())
    .bind(change.port.flatten().map(i32::from))
    .fetch_one(conn)
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

#[cfg(test)]
mod tests;

//! Tokens and browser sessions. Both are random, shown once, and stored as their SHA-256.

use anyhow::Result;
use domain::scope::Scope;
use rand::RngCore as _;
use sha2::{Digest as _, Sha256};
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

use crate::{Time, Word};

/// The name of the token that is made at install. It is replaced in its Secret, not revoked.
pub const BOOTSTRAP: &str = "bootstrap admin";
/// By it, secret scanners and people know a token when they see one.
const PREFIX: &str = "slip_";
/// A browser's login lasts this long.
const SESSION_DAYS: i32 = 7;

#[derive(Debug, Clone, FromRow)]
pub struct Token {
    pub id: Uuid,
    /// Unique; it names the pusher.
    pub name: String,
    #[sqlx(try_from = "String")]
    pub scope: Word<Scope>,
    /// `None`: for all applications.
    pub app_id: Option<Uuid>,
}

impl Token {
    /// Whether it may do what needs `scope` with an application, or (`None`) what concerns no single one.
    pub fn allows(&self, app: Option<Uuid>, scope: Scope) -> bool {
        self.scope.0 >= scope && (self.app_id.is_none() || self.app_id == app)
    }
}

/// A token as it is listed.
#[derive(Debug, Clone, FromRow)]
pub struct Listed {
    #[sqlx(flatten)]
    pub token: Token,
    /// The name of its application.
    pub app: Option<String>,
    pub created_at: Time,
    /// The name of the token that made it.
    pub created_by: Option<String>,
    pub expires_at: Option<Time>,
    pub is_expired: bool,
    pub last_used_at: Option<Time>,
}

#[derive(Debug, Clone, Copy)]
pub struct NewToken<'a> {
    pub name: &'a str,
    pub scope: Scope,
    pub app_id: Option<Uuid>,
    /// `None`: it does not expire.
    pub seconds: Option<i64>,
    pub created_by: &'a str,
}

/// The columns of [`Listed`]; a macro, because a query's text must be a constant.
macro_rules! listed {
    () => {
        "select t.id, t.name, t.scope, t.app_id, a.name as app, t.created_at, t.created_by, t.expires_at,
                coalesce(t.expires_at <= now(), false) as is_expired, t.last_used_at
         from token t left join app a on a.id = t.app_id "
    };
}

fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

/// Makes sure that the token made at install is known. Changing it in the Secret replaces it.
pub async fn ensure_bootstrap(db: &PgPool, secret: &str) -> Result<()> {
    let mut tx = db.begin().await?;
    sqlx::query("delete from token where name = $1 and hash <> $2")
        .bind(BOOTSTRAP)
        .bind(hash(secret))
        .execute(&mut *tx)
        .await?;
    sqlx::query("insert into token (id, name, hash, scope) values ($1, $2, $3, $4) on conflict do nothing")
        .bind(Uuid::now_v7())
        .bind(BOOTSTRAP)
        .bind(hash(secret))
        .bind(Scope::Admin.as_str())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(())
}

/// The token's id and its secret, which nobody can read again. `None`: the name is taken.
pub async fn create(db: &PgPool, new: &NewToken<'_>) -> Result<Option<(Uuid, String)>> {
    let mut random = [0; 20];
    rand::rng().fill_bytes(&mut random);
    let secret = format!("{PREFIX}{}", hex::encode(random));
    let id: Option<Uuid> = sqlx::query_scalar(
        "insert into token (id, name, hash, scope, app_id, expires_at, created_by)
         values ($1, $2, $3, $4, $5, now() + make_interval(secs => $6), $7)
         on conflict (name) do nothing returning id",
    )
    .bind(Uuid::now_v7())
    .bind(new.name)
    .bind(hash(&secret))
    .bind(new.scope.as_str())
    .bind(new.app_id)
    .bind(new.seconds.map(|seconds| seconds as f64))
    .bind(new.created_by)
    .fetch_optional(db)
    .await?;
    Ok(id.map(|id| (id, secret)))
}

pub async fn list(db: &PgPool) -> Result<Vec<Listed>> {
    Ok(sqlx::query_as(concat!(listed!(), "order by t.name")).fetch_all(db).await?)
}

/// By its id or its name.
pub async fn find(db: &PgPool, id_or_name: &str) -> Result<Option<Listed>> {
    Ok(sqlx::query_as(concat!(listed!(), "where t.id::text = lower($1) or t.name = $1"))
        .bind(id_or_name)
        .fetch_optional(db)
        .await?)
}

/// Its sessions end with it. `false`: it was gone already.
pub async fn revoke(db: &PgPool, id: Uuid) -> Result<bool> {
    let revoked = sqlx::query("delete from token where id = $1").bind(id).execute(db).await?;
    Ok(revoked.rows_affected() == 1)
}

/// A token that may pass, and whether its last use is to be written down anew.
#[derive(FromRow)]
struct Valid {
    #[sqlx(flatten)]
    token: Token,
    is_stale: bool,
}

/// What makes a token [`Valid`].
macro_rules! valid {
    () => {
        "select t.id, t.name, t.scope, t.app_id,
                coalesce(t.last_used_at < now() - interval '1 minute', true) as is_stale
         from token t where (t.expires_at is null or t.expires_at > now()) "
    };
}

/// The token, unless it is unknown, revoked or expired: nobody is told which.
pub async fn verify(db: &PgPool, secret: &str) -> Result<Option<Token>> {
    let valid =
        sqlx::query_as(concat!(valid!(), "and t.hash = $1")).bind(hash(secret)).fetch_optional(db).await?;
    used(db, valid).await
}

/// Every request comes by here, so a use is written down once a minute at most.
async fn used(db: &PgPool, valid: Option<Valid>) -> Result<Option<Token>> {
    let Some(Valid { token, is_stale }) = valid else { return Ok(None) };
    if is_stale {
        // Whoever else finds it stale at this moment finds the row locked, and goes on without waiting.
        sqlx::query(
            "update token set last_used_at = now() where id =
                 (select id from token where id = $1 and coalesce(last_used_at < now() - interval '1 minute', true)
                  for update skip locked)",
        )
        .bind(token.id)
        .execute(db)
        .await?;
    }
    Ok(Some(token))
}

/// Remembers a login; `secret` is the cookie's value.
pub async fn open_session(db: &PgPool, token: &Token, secret: &str) -> Result<()> {
    sqlx::query(
        "with expired as (delete from session where expires_at < now())
         insert into session (hash, token_id, expires_at) values ($1, $2, now() + make_interval(days => $3))",
    )
    .bind(hash(secret))
    .bind(token.id)
    .bind(SESSION_DAYS)
    .execute(db)
    .await?;
    Ok(())
}

/// The token that was logged in with, as long as it is valid itself.
pub async fn session(db: &PgPool, secret: &str) -> Result<Option<Token>> {
    let valid = sqlx::query_as(concat!(
        valid!(),
        "and t.id = (select token_id from session where hash = $1 and expires_at > now())"
    ))
    .bind(hash(secret))
    .fetch_optional(db)
    .await?;
    used(db, valid).await
}

pub async fn close_session(db: &PgPool, secret: &str) -> Result<()> {
    sqlx::query("delete from session where hash = $1").bind(hash(secret)).execute(db).await?;
    Ok(())
}

#[cfg(test)]
mod tests;

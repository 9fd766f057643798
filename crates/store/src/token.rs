//! Tokens and browser sessions. Both are random, shown once, and stored as their SHA-256.

use anyhow::Result;
use sha2::{Digest as _, Sha256};
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

/// A browser's login lasts this long.
const SESSION_DAYS: i32 = 7;

#[derive(Debug, Clone, FromRow)]
pub struct Token {
    pub id: Uuid,
    pub name: String,
}

fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

/// Makes sure that the token made at install is known. Changing it in the Secret replaces it.
pub async fn ensure_bootstrap(db: &PgPool, secret: &str) -> Result<()> {
    const NAME: &str = "bootstrap admin";
    let mut tx = db.begin().await?;
    sqlx::query("delete from token where name = $1 and hash <> $2")
        .bind(NAME)
        .bind(hash(secret))
        .execute(&mut *tx)
        .await?;
    sqlx::query("insert into token (id, name, hash) values ($1, $2, $3) on conflict (hash) do nothing")
        .bind(Uuid::now_v7())
        .bind(NAME)
        .bind(hash(secret))
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(())
}

pub async fn verify(db: &PgPool, secret: &str) -> Result<Option<Token>> {
    Ok(sqlx::query_as("update token set last_used_at = now() where hash = $1 returning id, name")
        .bind(hash(secret))
        .fetch_optional(db)
        .await?)
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

pub async fn session(db: &PgPool, secret: &str) -> Result<Option<Token>> {
    Ok(sqlx::query_as(
        "select t.id, t.name from session s join token t on t.id = s.token_id
         where s.hash = $1 and s.expires_at > now()",
    )
    .bind(hash(secret))
    .fetch_optional(db)
    .await?)
}

pub async fn close_session(db: &PgPool, secret: &str) -> Result<()> {
    sqlx::query("delete from session where hash = $1").bind(hash(secret)).execute(db).await?;
    Ok(())
}

//! A PostgreSQL database of a program's own, made when it starts and dropped at its end.

use anyhow::{Context as _, Result};
use sqlx::{AssertSqlSafe, PgPool};
use url::Url;
use uuid::Uuid;

/// The worker, its listener and the questions of a soak.
const CONNECTIONS: u32 = 16;

#[derive(Debug)]
pub struct Database {
    pub name: String,
    pub url: String,
    pub db: PgPool,
    /// A superuser's, of another database of the same server.
    pub superuser: PgPool,
}

/// Made and migrated. `superuser_url` names a user that may create databases.
pub async fn create(superuser_url: &str, prefix: &str) -> Result<Database> {
    let name = format!("{prefix}_{}", Uuid::new_v4().simple());
    let superuser = store::pool(superuser_url, 2)?;
    sqlx::query(AssertSqlSafe(format!("create database {name}")))
        .execute(&superuser)
        .await
        .context("creating a database: DATABASE_URL has to name a user that may")?;
    let mut url = Url::parse(superuser_url).context("DATABASE_URL is no URL")?;
    url.set_path(&name);
    let url: String = url.into();
    let db = store::pool(&url, CONNECTIONS)?;
    let database = Database { name, url, db, superuser };
    match store::migrate(&database.db).await {
        Ok(()) => Ok(database),
        Err(error) => {
            drop(database).await?;
            Err(error)
        }
    }
}

/// Whoever is still connected is thrown out.
pub async fn drop(database: Database) -> Result<()> {
    database.db.close().await;
    sqlx::query(AssertSqlSafe(format!("drop database if exists {} with (force)", database.name)))
        .execute(&database.superuser)
        .await
        .with_context(|| format!("dropping the database {}", database.name))?;
    Ok(())
}

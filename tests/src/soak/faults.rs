//! What breaks besides processes: the database's connections, the database, and the space on the volume.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::process::Command;

use super::counts::Counts;
use super::process;
use super::schedule::Fault;

/// The files that fill a volume: from large ones to single blocks, until none fits.
const LARGEST: u64 = 256 << 20;
const SMALLEST: u64 = 4 << 10;
const FILES_MAX: usize = 200;

/// What can be broken.
#[derive(Debug, Clone)]
pub struct Site {
    pub superuser: PgPool,
    pub database: String,
    pub db: PgPool,
    pub repositories: PathBuf,
    /// The repositories are on a small volume of their own.
    pub is_small: bool,
}

pub async fn cause(site: Site, fault: Fault, counts: Arc<Counts>) -> Result<()> {
    match fault {
        Fault::Connections => terminate(&site).await?,
        Fault::Outage(lasts) => {
            // Those who are connected stay so until git has begun to read a pack.
            allow(&site, false).await?;
            process::until_receiving(&site.repositories).await;
            let ended = async {
                terminate(&site).await?;
                tokio::time::sleep(lasts).await;
                anyhow::Ok(())
            };
            let ended = ended.await;
            allow(&site, true).await?;
            ended?;
            counts.caught_between.add(caught_between(&site).await?);
        }
        Fault::Full(_) if !site.is_small => return Ok(()),
        Fault::Full(lasts) => {
            let filler = site.repositories.join("filler");
            std::fs::create_dir(&filler)?;
            let filled = fill(&filler).await;
            tokio::time::sleep(lasts).await;
            std::fs::remove_dir_all(&filler)?;
            filled?;
        }
    }
    counts.faults.add(1);
    Ok(())
}

async fn allow(site: &Site, allowed: bool) -> Result<()> {
    let name = &site.database;
    sqlx::query(AssertSqlSafe(format!("alter database {name} with allow_connections {allowed}")))
        .execute(&site.superuser)
        .await
        .with_context(|| format!("setting whether {name} may be connected to"))?;
    Ok(())
}

async fn terminate(site: &Site) -> Result<()> {
    sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1")
        .bind(&site.database)
        .execute(&site.superuser)
        .await?;
    Ok(())
}

/// Pushes with a pin that nobody has decided yet: whoever is to do so waits for the database.
async fn caught_between(site: &Site) -> Result<u64> {
    let receiving: Vec<uuid::Uuid> =
        sqlx::query_scalar("select id from push where state = 'receiving'").fetch_all(&site.db).await?;
    let has_pin = |id: &&uuid::Uuid| {
        let repositories = std::fs::read_dir(&site.repositories).into_iter().flatten().flatten();
        repositories.into_iter().any(|it| it.path().join("refs/pushes").join(id.to_string()).exists())
    };
    Ok(receiving.iter().filter(has_pin).count() as u64)
}

async fn fill(folder: &Path) -> Result<()> {
    let (mut size, mut files) = (LARGEST, 0);
    while size >= SMALLEST && files < FILES_MAX {
        files += 1;
        let file = folder.join(files.to_string());
        let made = Command::new("fallocate").arg("--length").arg(size.to_string()).arg(file).output().await?;
        if !made.status.success() {
            size /= 2;
        }
    }
    ensure!(files < FILES_MAX, "{} is not small: it could not be filled", folder.display());
    Ok(())
}

//! Causing a fault, and ending it after its time.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::process::Command;
use tokio::time::sleep;
use uuid::Uuid;

use super::cell::Fault;
use super::moment::release;
use super::parts;
use super::valve::{self, Flow, Valve};
use super::world::{self, World};
use crate::database::Database;
use crate::wait;

/// A builder that was asked to end does so within this time.
const DRAIN: Duration = Duration::from_secs(25);
/// BuildKit tries a push again for a quarter of a minute.
const ATTEMPT_MAX: Duration = Duration::from_secs(40);
const DAEMON_DRAIN: Duration = Duration::from_secs(20);
/// Layers, but no configs and manifests.
const LAYER_MIN: u64 = 50_000;
const BLOBS: &str = "runc-overlayfs/content/blobs/sha256";
const LARGEST: u64 = 1 << 30;
const SMALLEST: u64 = 64 << 10;

pub async fn cause(world: &mut World, database: &Database, fault: Fault, build: Uuid) -> Result<()> {
    let lasts = fault.lasts();
    match fault {
        Fault::BuilderKilled => kill_builder(world).await,
        Fault::BuilderPaused(_) => pause_builder(world, lasts).await,
        Fault::BuilderEnded => end_builder(world).await,
        Fault::DaemonKilled => kill_daemon(world, |_| Ok(())).await,
        Fault::DaemonEmptied => kill_daemon(world, empty).await,
        Fault::DaemonBroken(file) => kill_daemon(world, |state| overwrite(&state.join(file))).await,
        Fault::DaemonEnded => end_daemon(world).await,
        Fault::DaemonPaused(_) => pause_daemon(world, lasts).await,
        Fault::OwnDaemonGone(_) => kill_own_daemon(world, lasts).await,
        Fault::DaemonFull(_) => fill_disk(world, lasts).await,
        Fault::BlobsGone | Fault::BlobsChanged => on_blobs(world, fault == Fault::BlobsChanged).await,
        Fault::DaemonUnheard(_) => on_valve(world, |world| &world.to_daemon, Flow::Held, lasts).await,
        Fault::DaemonCut(_) => on_valve(world, |world| &world.to_daemon, Flow::Cut, lasts).await,
        Fault::SourceCut(_) => on_valve(world, |world| &world.to_source, Flow::Cut, lasts).await,
        Fault::DatabaseCut(_) => on_valve(world, |world| &world.to_database, Flow::Cut, lasts).await,
        Fault::DatabaseUnheard(_) => on_valve(world, |world| &world.to_database, Flow::Held, lasts).await,
        // The proxy does it.
        Fault::Registry(..) => Ok(()),
        Fault::RegistryRefuses(_) => {
            attempt_over(&database.db, build).await?;
            release(world);
            Ok(())
        }
        Fault::RegistryKilled(_) => kill_registry(world, lasts, |_| Ok(())).await,
        Fault::RegistryEmptied => kill_registry(world, lasts, empty).await,
        Fault::DatabaseTerminated => {
            release(world);
            terminate(database).await
        }
        Fault::DatabaseReadOnly(_) => {
            release(world);
            let setting = "default_transaction_read_only";
            alter(database, &format!("set {setting} = on"), lasts, &format!("reset {setting}")).await
        }
        Fault::DatabaseRefuses(_) => {
            release(world);
            alter(database, "allow_connections false", lasts, "allow_connections true").await
        }
        Fault::JobLocked(_) => {
            release(world);
            lock_job(&database.db, build, lasts).await
        }
    }
}

/// How often BuildKit asks before it gives up depends on how many layers there are, and on what connections are left.
async fn attempt_over(db: &PgPool, build: Uuid) -> Result<()> {
    wait::until("the end of the attempt", ATTEMPT_MAX, || async {
        let runs: bool = sqlx::query_scalar(
            "select exists (select from job where kind = 'build' and subject = $1 and state = 'running')",
        )
        .bind(build)
        .fetch_one(db)
        .await?;
        Ok(if runs { Err("it runs") } else { Ok(()) })
    })
    .await
}

async fn kill_builder(world: &mut World) -> Result<()> {
    parts::kill(&mut world.builder).await?;
    release(world);
    world::replace_builder(world, true).map(drop)
}

async fn pause_builder(world: &mut World, lasts: Duration) -> Result<()> {
    parts::signal(&world.builder, "STOP").await?;
    release(world);
    let former = world::replace_builder(world, false)?;
    sleep(lasts).await;
    parts::signal(&former, "CONT").await?;
    world.former.push(former);
    Ok(())
}

async fn end_builder(world: &mut World) -> Result<()> {
    parts::signal(&world.builder, "TERM").await?;
    let mut former = world::replace_builder(world, false)?;
    release(world);
    ensure!(parts::ended(&mut former, DRAIN).await?, "the builder did not end although it was asked to");
    Ok(())
}

/// `with_state` is done to its state before it starts again.
async fn kill_daemon(world: &mut World, with_state: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    parts::kill(&mut world.daemon).await?;
    release(world);
    with_state(&world.disk.at)?;
    world::daemon_answers(world).await
}

/// The one that runs the step which was waited for.
async fn kill_own_daemon(world: &mut World, lasts: Duration) -> Result<()> {
    let steps = parts::steps("sleep");
    let second = world.second.as_mut().context("there is one daemon only")?;
    let own =
        if steps.iter().any(|step| parts::runs_under(second, *step)) { second } else { &mut world.daemon };
    parts::kill(own).await?;
    sleep(lasts).await;
    Ok(())
}

async fn end_daemon(world: &mut World) -> Result<()> {
    parts::signal(&world.daemon, "TERM").await?;
    release(world);
    parts::ended(&mut world.daemon, DAEMON_DRAIN).await?;
    world::daemon_answers(world).await
}

async fn pause_daemon(world: &mut World, lasts: Duration) -> Result<()> {
    parts::signal(&world.daemon, "STOP").await?;
    release(world);
    sleep(lasts).await;
    parts::signal(&world.daemon, "CONT").await
}

async fn fill_disk(world: &mut World, lasts: Duration) -> Result<()> {
    let filler = world.disk.at.join("filler");
    fill(&filler).await?;
    release(world);
    sleep(lasts).await;
    Ok(std::fs::remove_dir_all(&filler)?)
}

async fn on_blobs(world: &mut World, changed: bool) -> Result<()> {
    for entry in std::fs::read_dir(world.disk.at.join(BLOBS))? {
        let (path, size) = entry.and_then(|it| Ok((it.path(), it.metadata()?.len())))?;
        if size < LAYER_MIN {
            continue;
        }
        if changed {
            overwrite(&path)?;
        } else {
            std::fs::remove_file(&path)?;
        }
    }
    kill_registry(world, Duration::ZERO, empty).await
}

async fn on_valve(world: &World, which: fn(&World) -> &Valve, flow: Flow, lasts: Duration) -> Result<()> {
    release(world);
    valve::set(which(world), flow);
    sleep(lasts).await;
    valve::set(which(world), Flow::Open);
    Ok(())
}

async fn kill_registry(
    world: &mut World,
    lasts: Duration,
    with_files: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    parts::kill(&mut world.registry).await?;
    release(world);
    sleep(lasts).await;
    with_files(&world.registry_files)?;
    world.registry = parts::start(&world.registry.recipe.clone())?;
    parts::serves(&world.registry).await
}

/// The database is altered so, and after its time so.
async fn alter(database: &Database, begin: &str, lasts: Duration, end: &str) -> Result<()> {
    let name = &database.name;
    let alter = async |what: &str| {
        let statement = AssertSqlSafe(format!("alter database {name} {what}"));
        sqlx::query(statement).execute(&database.superuser).await.with_context(|| format!("altering {name}"))
    };
    alter(begin).await?;
    let terminated = terminate(database).await;
    sleep(lasts).await;
    alter(end).await?;
    // Who connected meanwhile would go on as it began.
    terminate(database).await?;
    terminated
}

async fn terminate(database: &Database) -> Result<()> {
    sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1")
        .bind(&database.name)
        .execute(&database.superuser)
        .await?;
    Ok(())
}

async fn lock_job(db: &PgPool, build: Uuid, lasts: Duration) -> Result<()> {
    let mut tx = db.begin().await?;
    sqlx::query("select from job where kind = 'build' and subject = $1 for update")
        .bind(build)
        .execute(&mut *tx)
        .await?;
    sleep(lasts).await;
    Ok(tx.rollback().await?)
}

/// As long as it was, with nothing of it left.
fn overwrite(file: &Path) -> Result<()> {
    let size = std::fs::metadata(file).with_context(|| format!("there is no {}", file.display()))?.len();
    // Not in place: it may be linked from elsewhere.
    std::fs::remove_file(file)?;
    Ok(std::fs::write(file, vec![0xaa; usize::try_from(size)?])?)
}

/// Removes all that is in the folder.
fn empty(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Files from large to small, until none fits.
async fn fill(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let (mut size, mut files) = (LARGEST, 0);
    while size >= SMALLEST {
        files += 1;
        let file = folder.join(files.to_string());
        let made = Command::new("fallocate").arg("--length").arg(size.to_string()).arg(file).output().await?;
        if !made.status.success() {
            size /= 2;
        }
    }
    Ok(())
}

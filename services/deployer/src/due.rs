//! Looks for environments that are to go by themselves: their time is up, or their branch is gone. One that cannot be
//! asked to go keeps no other from going. And for releases that lost their job.

use std::time::Duration;

use anyhow::Result;
use domain::job::JobKind;
use sqlx::PgPool;
use store::worker;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Every deployer looks; who comes second finds nothing to ask.
const LOOK_EVERY: Duration = Duration::from_secs(10);

pub(crate) async fn run(db: PgPool, shutdown: CancellationToken) -> Result<()> {
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            _ = look.tick() => {}
        }
        if let Err(error) = ask(&db).await {
            tracing::warn!("looking for environments that are to go: {error:#}");
        }
        repair(&db).await;
    }
}

async fn repair(db: &PgPool) {
    match store::release::overdue::repair(db).await {
        Ok(0) => {}
        Ok(repaired) => tracing::warn!("{repaired} releases had no job: queued again, or ended"),
        Err(error) => tracing::warn!("looking for releases that lost their job: {error:#}"),
    }
}

/// Asks for the removal of every environment that is due.
pub(crate) async fn ask(db: &PgPool) -> Result<()> {
    let mut asked = false;
    for id in store::environment::due_removals(db).await? {
        match ask_one(db, id).await {
            Ok(it) => asked |= it,
            Err(error) => tracing::warn!(environment.id = %id, "asking for its removal: {error:#}"),
        }
    }
    if asked {
        worker::wake(db, &[JobKind::Deploy, JobKind::Report]).await;
    }
    Ok(())
}

async fn ask_one(db: &PgPool, id: Uuid) -> Result<bool> {
    let mut tx = db.begin().await?;
    let asked = store::environment::ask_due_removal(&mut tx, id).await?;
    tx.commit().await?;
    if asked {
        tracing::info!(environment.id = %id, "its time is up, or its branch is gone: it is being removed");
    }
    Ok(asked)
}

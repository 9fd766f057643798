//! Removes an environment: its namespace first, its row when that is gone. No attempt waits for the namespace, because
//! pods may take long to end and roll-outs need the slot: each looks, does what can be done and comes back later. None
//! is the last, however long the cluster is away. The rule for releases that come meanwhile: [`store::environment`].

use std::time::Duration;

use anyhow::Result;
use domain::job::JobKind;
use sqlx::PgPool;
use store::environment::Environment;
use store::queue::{Job, Outcome};
use store::worker;

use crate::namespace::{self, Left};
use crate::{Deployer, fault, subject};

/// Later and later: a namespace is gone some ten seconds after its deletion, or something keeps it.
const PAUSE_MAX_SECONDS: u64 = 10;
/// What takes more attempts than this is kept by something, and somebody should know.
const ATTEMPTS_USUAL: i32 = 12;

pub(crate) async fn handle(deployer: &Deployer, job: &Job, environment: &Environment) -> Result<()> {
    let db = &deployer.db;
    if !begin(db, job).await? {
        return subject::finish(db, job, Outcome::Done).await;
    }
    let why = match namespace::delete(&deployer.client, &environment.namespace).await {
        Ok(Left::Nothing) => return end(db, job, environment).await,
        Ok(Left::Some(why)) => why,
        Err(error) => fault::platform(&error).message,
    };
    if job.attempt > ATTEMPTS_USUAL {
        tracing::warn!(environment.namespace, job.attempt, "the environment is not gone yet: {why}");
    }
    let pause = u64::try_from(job.attempt).unwrap_or(1).min(PAUSE_MAX_SECONDS);
    subject::finish(db, job, Outcome::Retry { error: &why, delay: Duration::from_secs(pause) }).await
}

/// `false`: a release took the removal back, or the lease was lost.
async fn begin(db: &PgPool, job: &Job) -> Result<bool> {
    let mut tx = db.begin().await?;
    let begun = store::environment::begin_removal(&mut tx, job).await?;
    if begun {
        tx.commit().await?;
    }
    Ok(begun)
}

async fn end(db: &PgPool, job: &Job, environment: &Environment) -> Result<()> {
    let mut tx = db.begin().await?;
    if store::environment::end_removal(&mut tx, job).await? {
        tx.commit().await?;
        tracing::info!(environment.namespace, "removed");
        // A release that came meanwhile waits for this job's end.
        worker::wake(db, &[JobKind::Deploy]).await;
    }
    Ok(())
}

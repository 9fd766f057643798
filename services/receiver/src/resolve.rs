//! The job `resolve`: asks the forge what a branch is now, and records it when it moved. Deliveries, polling and
//! recovery all come through here, so the order in which deliveries arrive means nothing.

use std::time::Duration;

use anyhow::Result;
use domain::commit::Commit;
use domain::job::JobKind;
use domain::name;
use gitrepo::{BadRemote, Credentials, GitError, Remote};
use sqlx::PgPool;
use store::app::{App, Forge};
use store::bell::{self, Channel};
use store::branch::Branch;
use store::queue::{Job, Outcome};

/// Short: a push waits behind it. What lasts longer is left to polling.
const BACKOFF: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(15)];

pub(crate) async fn resolve(db: &PgPool, job: &Job) -> Result<()> {
    let Some((app, branch)) = subject(db, job).await? else {
        return crate::finish(db, job, Outcome::Done).await;
    };
    let Some(forge) = &app.forge else { return crate::finish(db, job, Outcome::Done).await };
    let remote = match remote(forge) {
        Ok(remote) => remote,
        Err(error) => return ended(db, job, &app, &branch, &error.to_string()).await,
    };
    match gitrepo::ls_remote(&remote, &branch.name).await {
        Ok(now) if now.as_ref().map(Commit::as_str) == branch.commit.as_deref() => {
            stayed(db, job, &branch).await
        }
        Ok(Some(commit)) => moved(db, job, &app, &branch, &commit).await,
        Ok(None) => gone(db, job, &app, &branch).await,
        Err(GitError::Unavailable(why)) if !job.is_last_attempt() => {
            tracing::debug!(app.name, branch.name, "cannot resolve yet: {why}");
            let delay = crate::backoff(&BACKOFF, job.attempt);
            crate::finish(db, job, Outcome::Retry { error: &why, delay }).await
        }
        Err(error) => ended(db, job, &app, &branch, &error.to_string()).await,
    }
}

/// `None`: the application was deleted meanwhile.
async fn subject(db: &PgPool, job: &Job) -> Result<Option<(App, Branch)>> {
    let Some(branch) = store::branch::get(db, job.subject).await? else { return Ok(None) };
    let app = store::app::get(db, branch.app_id).await?;
    Ok(app.map(|app| (app, branch)))
}

fn remote(forge: &Forge) -> Result<Remote, BadRemote> {
    let credentials = forge.token.as_deref().map(|token| Credentials::new(forge.user.as_deref(), token));
    Remote::new(&forge.repo_url, credentials)
}

async fn stayed(db: &PgPool, job: &Job, branch: &Branch) -> Result<()> {
    let mut tx = db.begin().await?;
    if store::queue::finish(&mut tx, job, Outcome::Done).await? {
        store::branch::resolved(&mut tx, branch.id).await?;
        tx.commit().await?;
    }
    Ok(())
}

async fn moved(db: &PgPool, job: &Job, app: &App, branch: &Branch, commit: &Commit) -> Result<()> {
    let mut tx = db.begin().await?;
    if !store::queue::finish(&mut tx, job, Outcome::Done).await? {
        return Ok(());
    }
    let Some(build) = store::push::record(&mut tx, branch, commit.as_str()).await? else {
        tx.rollback().await?;
        let error = "the branch was moved by another receiver meanwhile";
        return crate::finish(db, job, Outcome::Retry { error, delay: Duration::ZERO }).await;
    };
    tx.commit().await?;
    store::worker::wake(db, &[JobKind::Build, JobKind::Report]).await;
    bell::ring(db, Channel::Build, &build.id.to_string()).await;
    tracing::info!(app.name, branch.name, %commit, build.number, "push");
    Ok(())
}

/// Its environments go, but for the application's main one. When the branch comes back it is built again, even at the
/// commit it was.
async fn gone(db: &PgPool, job: &Job, app: &App, branch: &Branch) -> Result<()> {
    let mut tx = db.begin().await?;
    if !store::queue::finish(&mut tx, job, Outcome::Done).await? {
        return Ok(());
    }
    store::branch::delete(&mut tx, branch.id).await?;
    for environment in store::environment::of_branch(&mut tx, branch.id).await? {
        if environment.name != name::MAIN {
            store::environment::ask_removal(&mut tx, environment.id).await?;
        }
    }
    tx.commit().await?;
    store::worker::wake(db, &[JobKind::Build, JobKind::Deploy, JobKind::Report]).await;
    tracing::info!(app.name, branch.name, "branch is gone");
    Ok(())
}

/// Not resolved, and not tried again but by polling.
async fn ended(db: &PgPool, job: &Job, app: &App, branch: &Branch, why: &str) -> Result<()> {
    tracing::warn!(app.name, branch.name, "cannot resolve: {why}");
    let mut tx = db.begin().await?;
    if store::queue::finish(&mut tx, job, Outcome::Failed { error: why }).await? {
        // It counts as looked at, so that polling leaves a forge that is in trouble alone for its usual time.
        store::branch::resolved(&mut tx, branch.id).await?;
        tx.commit().await?;
    }
    Ok(())
}

//! The job `report`: tells the forge how a build stands. Each run tells what is true then, so one more changes nothing.

use std::time::Duration;

use anyhow::{Context as _, Result};
use domain::commit::Commit;
use forge::status::{Outcome as Told, Status, StatusError};
use secrecy::SecretString;
use sqlx::PgPool;
use store::app::App;
use store::build::Build;
use store::queue::{Job, Outcome};

use crate::status::{Links, status_of};

/// A forge that is restarted is back within these. Nothing stands behind a report, so it is patient.
const BACKOFF: [Duration; 3] = [Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(120)];

#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    pub(crate) db: PgPool,
    pub(crate) http: reqwest::Client,
    pub(crate) links: Links,
}

pub(crate) async fn report(reporter: &Reporter, job: &Job) -> Result<()> {
    let told = tell(reporter, job).await?;
    let error = match told {
        Ok(()) => return crate::finish(&reporter.db, job, Outcome::Done).await,
        Err(error) => error,
    };
    let text = error.to_string();
    let outcome = match error {
        StatusError::Unavailable(_) if !job.is_last_attempt() => {
            Outcome::Retry { error: &text, delay: crate::backoff(&BACKOFF, job.attempt) }
        }
        StatusError::Unavailable(_) | StatusError::Refused { .. } => {
            tracing::warn!(build.id = %job.subject, "the commit has no status on the forge: {text}; check the \
                application's forge token and API URL");
            Outcome::Failed { error: &text }
        }
    };
    crate::finish(&reporter.db, job, outcome).await
}

/// The inner error is the forge's, the outer one ours.
async fn tell(reporter: &Reporter, job: &Job) -> Result<Result<(), StatusError>> {
    let db = &reporter.db;
    let Some((app, build)) = subject(db, job).await? else { return Ok(Ok(())) };
    let Some(forge) = &app.forge else { return Ok(Ok(())) };
    let Some(token) = &forge.token else {
        tracing::debug!(app.name, "no forge token, so no commit status");
        return Ok(Ok(()));
    };
    let Some(status) = current(reporter, &app, &build).await? else { return Ok(Ok(())) };
    let token = SecretString::from(token.as_str());
    let api = match forge::status::api(forge.kind, &forge.repo_url, forge.api_url.as_deref(), token) {
        Ok(api) => api,
        Err(error) => {
            tracing::warn!(app.name, "no commit status: {error:#}");
            return Ok(Ok(()));
        }
    };
    let commit = Commit::parse(&build.commit)?;
    Ok(forge::status::set_status(&reporter.http, &api, &commit, &status).await.map(|told| match told {
        Told::Posted => tracing::info!(app.name, build.number, status.description, "commit status"),
        Told::NotSupported => {}
    }))
}

/// `None`: the application was deleted meanwhile.
async fn subject(db: &PgPool, job: &Job) -> Result<Option<(App, Build)>> {
    let Some(build) = store::build::get(db, job.subject).await? else { return Ok(None) };
    let app = store::app::get(db, build.app_id).await?;
    Ok(app.map(|app| (app, build)))
}

/// `None`: the branch went away from the commit and came back, and the newer build of it speaks for it.
async fn current(reporter: &Reporter, app: &App, build: &Build) -> Result<Option<Status>> {
    let db = &reporter.db;
    let newest = store::build::newest(&mut *db.acquire().await?, build.branch_id).await?;
    if newest.is_some_and(|newest| newest.number > build.number && newest.commit == build.commit) {
        return Ok(None);
    }
    let superseded_by = match build.superseded_by {
        Some(newer) => store::build::get(db, newer).await?.map(|newer| newer.number),
        None => None,
    };
    let release = store::release::of_build(db, build.id).await.context("reading the build's release")?;
    Ok(Some(status_of(app, build, release.as_ref(), superseded_by, &reporter.links)))
}

//! Removing an environment because somebody asks for it, by the API or the form.

use anyhow::Result;
use domain::job::JobKind;
use store::app::App;

use crate::Web;
use crate::auth::Caller;

/// Stops what is being built for it and asks for its removal. `false`: there is no environment of that name.
pub(crate) async fn remove(web: &Web, Caller(token): &Caller, app: &App, name: &str) -> Result<bool> {
    let db = &web.db;
    let Some(environment) = store::environment::by_name(db, app.id, name).await? else { return Ok(false) };
    // By itself: a builder that ends a build locks the branch's lane before the environment.
    let mut tx = db.begin().await?;
    store::build::cancel::of_environment(&mut tx, app.id, name, &token.name).await?;
    tx.commit().await?;
    let mut tx = db.begin().await?;
    let asked = store::environment::ask_removal(&mut tx, environment.id).await?;
    tx.commit().await?;
    store::worker::wake(db, &[JobKind::Build, JobKind::Deploy, JobKind::Report]).await;
    if asked {
        tracing::info!(app.name, environment.name, by = token.name, "its removal was asked for");
    }
    Ok(true)
}

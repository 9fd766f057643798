//! Creating an application: what the API and the form take, checked and stored in one place.

mod check;
pub(crate) mod source;

use anyhow::Result;
use domain::job::JobKind;
use store::app::{App, NewApp};

use crate::{Web, auth};

pub(crate) use check::{Faults, check, is_branch};

/// What a caller gives. Everything but the name can be left out; an empty text counts as left out.
#[derive(Default, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    #[schema(example = "demo")]
    pub(crate) name: String,
    /// `gitea`, `gogs` or `github`, given together with `repo_url`. Without both the application is pushed to Slipway
    /// itself.
    #[schema(example = "gitea")]
    pub(crate) forge: Option<String>,
    #[schema(example = "https://forge.example/team/demo.git")]
    pub(crate) repo_url: Option<String>,
    pub(crate) forge_user: Option<String>,
    /// Stored, used for fetching and for commit statuses, and never shown again.
    pub(crate) forge_token: Option<String>,
    /// The forge's API, when it is not where the repository's URL says.
    pub(crate) api_url: Option<String>,
    #[schema(default = "main")]
    pub(crate) default_branch: Option<String>,
    #[schema(default = "Dockerfile")]
    pub(crate) dockerfile: Option<String>,
    /// The folder whose files the Dockerfile may copy; without it, all of the repository.
    #[schema(example = "services/shop")]
    pub(crate) context: Option<String>,
    /// The stage of the Dockerfile that is wanted, when it is not the last.
    pub(crate) target: Option<String>,
    /// Without it, the port that the image exposes, or else 8080.
    pub(crate) port: Option<i64>,
    #[schema(default = "/")]
    pub(crate) health_path: Option<String>,
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct FieldError {
    pub(crate) field: &'static str,
    pub(crate) detail: String,
}

/// The hook as it is shown once, after the application was created.
#[derive(Clone, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct NewHook {
    /// Where the forge has to deliver to.
    pub(crate) url: String,
    /// What it has to sign with.
    pub(crate) secret: String,
}

/// Stores the application. One on a forge gets a hook, and its default branch is asked for, so that one that is there
/// builds at once. `None`: the name is taken.
pub(crate) async fn create(web: &Web, new: &NewApp<'_>) -> Result<Option<(App, Option<NewHook>)>> {
    let mut tx = web.db.begin().await?;
    let Some(app) = store::app::create(&mut tx, new).await? else { return Ok(None) };
    if app.forge.is_none() {
        tx.commit().await?;
        return Ok(Some((app, None)));
    }
    let secret = auth::random_hex();
    let hook = store::app::create_hook(&mut tx, app.id, &secret).await?;
    let branch = store::branch::touch(&mut tx, app.id, &app.default_branch).await?;
    store::branch::enqueue_resolve(&mut tx, branch.id).await?;
    tx.commit().await?;
    store::worker::wake(&web.db, &[JobKind::Resolve]).await;
    Ok(Some((app, Some(NewHook { url: web.links.hook(hook.id), secret }))))
}

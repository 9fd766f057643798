//! An application and its environments, without any of their secrets.

use domain::forge_kind::ForgeKind;
use store::Time;

use super::{Build, Release, Share, Status};
use crate::links::Links;

#[derive(Clone, Debug, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct App {
    pub(crate) name: String,
    /// Nothing when it is pushed to Slipway itself.
    #[schema(value_type = Option<String>)]
    pub(crate) forge: Option<ForgeKind>,
    pub(crate) repo_url: Option<String>,
    /// Where git pushes it, when it has no forge.
    pub(crate) remote: Option<String>,
    pub(crate) default_branch: String,
    pub(crate) dockerfile: String,
    /// The folder whose files the Dockerfile may copy; empty: all of the repository.
    pub(crate) context: String,
    pub(crate) target: Option<String>,
    /// Nothing when it is the one that the image exposes.
    pub(crate) port: Option<i32>,
    pub(crate) health_path: String,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Time,
    /// Its page.
    pub(crate) page: String,
    /// Where its forge delivers to; the secret was shown once.
    pub(crate) hook_url: Option<String>,
    #[serde(flatten)]
    pub(crate) share: Share,
    pub(crate) environments: Vec<Environment>,
    pub(crate) last_build: Option<Build>,
}

impl App {
    pub(crate) fn new(
        links: &Links,
        row: &store::app::App,
        hook: Option<&store::app::Hook>,
        share: Share,
        environments: Vec<Environment>,
        last_build: Option<Build>,
    ) -> App {
        let forge = row.forge.as_ref();
        App {
            name: row.name.clone(),
            forge: forge.map(|forge| forge.kind),
            repo_url: forge.map(|forge| forge.repo_url.clone()),
            remote: forge.is_none().then(|| links.remote(&row.name)),
            default_branch: row.default_branch.clone(),
            dockerfile: row.dockerfile.clone(),
            context: row.context.clone(),
            target: row.target.clone(),
            port: row.port,
            health_path: row.health_path.clone(),
            created_at: row.created_at,
            page: links.app(&row.name),
            hook_url: hook.map(|hook| links.hook(hook.id)),
            share,
            environments,
            last_build,
        }
    }
}

#[derive(Clone, Debug, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Environment {
    pub(crate) name: String,
    pub(crate) branch: String,
    pub(crate) namespace: String,
    pub(crate) url: String,
    /// When it goes by itself; nothing when it stays.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) expires_at: Option<Time>,
    /// Since when it is being removed.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) removal_asked_at: Option<Time>,
    /// The release that serves.
    pub(crate) live: Option<Release>,
    /// The newest release, whatever became of it.
    pub(crate) newest: Option<Release>,
}

impl Environment {
    /// How it serves: live, or else how its newest release stands.
    pub(crate) fn status(&self) -> Option<Status> {
        self.live.as_ref().or(self.newest.as_ref()).map(Release::status)
    }

    /// The newest release, when it is not the one that serves.
    pub(crate) fn not_live(&self) -> Option<&Release> {
        let serving = self.live.as_ref().map(|it| it.version);
        self.newest.as_ref().filter(|it| Some(it.version) != serving)
    }
}

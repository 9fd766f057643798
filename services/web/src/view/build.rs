//! A build with its release: states, durations, and the one word for both.

use domain::state::BuildState;
use store::Time;
use store::build::Build as Row;

use super::{Reason, Release, Status, between};
use crate::links::Links;

#[derive(Clone, Debug, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Build {
    pub(crate) number: i32,
    /// How it stands, its release included.
    pub(crate) status: Status,
    /// The build's own state.
    #[schema(value_type = String)]
    pub(crate) state: BuildState,
    pub(crate) commit: String,
    pub(crate) subject: Option<String>,
    pub(crate) author: Option<String>,
    /// The name of the token it was pushed with, when it was pushed to Slipway itself, or asked for with.
    pub(crate) pusher: Option<String>,
    /// The number of the build whose commit it builds again.
    pub(crate) rebuild_of: Option<i32>,
    pub(crate) branch: String,
    pub(crate) environment: String,
    /// Where its environment answers.
    pub(crate) url: String,
    /// Its page.
    pub(crate) page: String,
    /// Counts from 1; above it after a fault of the platform.
    pub(crate) attempt: i32,
    /// Why the build failed; a release has a reason of its own.
    pub(crate) reason: Option<Reason>,
    /// The number of the build that took its place.
    pub(crate) superseded_by: Option<i32>,
    /// The name of the token that it was cancelled with; nothing when its branch was deleted.
    pub(crate) cancelled_by: Option<String>,
    /// When it was asked to stop.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) cancelled_at: Option<Time>,
    pub(crate) digest: Option<String>,
    /// The number of the build whose image it uses again, because nothing that makes an image differed.
    pub(crate) reuses: Option<i32>,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Time,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) started_at: Option<Time>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) finished_at: Option<Time>,
    #[serde(flatten)]
    pub(crate) durations: Durations,
    pub(crate) release: Option<Release>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Durations {
    /// From the push's arrival to the start of the build.
    pub(crate) queued_ms: Option<u64>,
    pub(crate) build_ms: Option<u64>,
    pub(crate) roll_out_ms: Option<u64>,
    /// From the push's arrival to the first answer of the new version.
    pub(crate) push_to_live_ms: Option<u64>,
}

/// What of other tables a build is shown with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Placed {
    pub(crate) release: Option<store::release::Release>,
    pub(crate) superseded_by: Option<i32>,
    pub(crate) reuses: Option<i32>,
}

impl Build {
    pub(crate) fn new(links: &Links, app: &store::app::App, row: &Row, placed: &Placed) -> Build {
        let environment = row.environment.clone();
        let release = placed.release.as_ref().map(|it| Release::new(it, &environment, row.number));
        Build {
            number: row.number,
            status: Status::of(row.state.0, release.as_ref().map(|it| it.state)),
            state: row.state.0,
            commit: row.commit.clone(),
            subject: row.subject.clone(),
            author: row.author.clone(),
            pusher: row.pusher.clone(),
            rebuild_of: row.rebuild_of,
            branch: row.branch.clone(),
            url: links.environment(&environment, &app.name),
            environment,
            page: links.build(&app.name, row.number),
            attempt: row.attempt,
            reason: row.reason.as_ref().map(|reason| Reason::new(reason)),
            superseded_by: placed.superseded_by,
            cancelled_by: row.cancelled_by.clone(),
            cancelled_at: row.cancelled_at,
            digest: row.digest.clone(),
            reuses: placed.reuses,
            created_at: row.created_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            durations: durations(row, release.as_ref()),
            release,
        }
    }

    /// The reason to show: the build's own or its release's.
    pub(crate) fn failure(&self) -> Option<&Reason> {
        self.reason.as_ref().or_else(|| self.release.as_ref()?.reason.as_ref())
    }

    /// It waits or runs, and nobody has asked it to stop.
    pub(crate) fn can_be_cancelled(&self) -> bool {
        !self.state.is_final() && self.cancelled_at.is_none()
    }

    /// It is over, and no newer commit is known to have taken its place.
    pub(crate) fn can_be_rebuilt(&self) -> bool {
        matches!(self.status, Status::Live | Status::Failed | Status::Cancelled | Status::Removed)
    }

    pub(crate) fn short_commit(&self) -> &str {
        domain::commit::short(&self.commit)
    }

    /// The commit's own words, known once it is fetched.
    pub(crate) fn title(&self) -> &str {
        self.subject.as_deref().unwrap_or("(the commit is not fetched yet)")
    }
}

fn durations(row: &Row, release: Option<&Release>) -> Durations {
    let live_at = release.filter(|it| it.was_live()).and_then(|it| it.finished_at);
    Durations {
        queued_ms: between(Some(row.created_at), row.started_at),
        build_ms: between(row.started_at, row.finished_at),
        roll_out_ms: release.and_then(|it| it.roll_out_ms),
        push_to_live_ms: between(Some(row.created_at), live_at),
    }
}

#[cfg(test)]
mod tests;

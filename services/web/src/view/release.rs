//! A release.

use domain::state::ReleaseState;
use store::Time;

use super::{Reason, Status, between};

#[derive(Clone, Debug, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Release {
    pub(crate) environment: String,
    pub(crate) version: i32,
    #[schema(value_type = String)]
    pub(crate) state: ReleaseState,
    /// The number of the build it runs.
    pub(crate) build: i32,
    /// The image by digest.
    pub(crate) image: String,
    pub(crate) reason: Option<Reason>,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Time,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) started_at: Option<Time>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) finished_at: Option<Time>,
    pub(crate) roll_out_ms: Option<u64>,
}

impl Release {
    pub(crate) fn new(release: &store::release::Release, environment: &str, build: i32) -> Release {
        Release {
            environment: environment.to_owned(),
            version: release.version,
            state: release.state.0,
            build,
            image: release.image.clone(),
            reason: release.reason.as_ref().map(|reason| Reason::new(reason)),
            created_at: release.created_at,
            started_at: release.started_at,
            finished_at: release.finished_at,
            roll_out_ms: between(release.started_at, release.finished_at),
        }
    }

    pub(crate) fn status(&self) -> Status {
        Status::of_release(self.state)
    }

    /// It answered through the router, now or once.
    pub(crate) fn was_live(&self) -> bool {
        matches!(self.state, ReleaseState::Live | ReleaseState::Replaced)
    }
}

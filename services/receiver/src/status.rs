//! How a build and its release stand, as a commit status. Pure.

use domain::reason::{Fault, Reason};
use domain::state::{BuildState, ReleaseState};
use forge::status::{State, Status};
use store::app::App;
use store::build::Build;
use store::release::Release;
use url::Url;

/// Where people reach what a status links to.
#[derive(Clone, Debug)]
pub(crate) struct Links {
    pub(crate) base_url: Url,
    pub(crate) base_domain: String,
}

impl Links {
    pub(crate) fn build(&self, app: &str, number: i32) -> String {
        format!("{}/apps/{app}/builds/{number}", self.base_url.as_str().trim_end_matches('/'))
    }

    pub(crate) fn environment(&self, app: &str, env: &str) -> String {
        format!("{}://{}/", self.base_url.scheme(), domain::name::host(env, app, &self.base_domain))
    }
}

/// The status of a build's commit. `superseded_by` is the number of the build that took its place.
pub(crate) fn status_of(
    app: &App,
    build: &Build,
    release: Option<&Release>,
    superseded_by: Option<i32>,
    links: &Links,
) -> Status {
    let env = build.environment.as_str();
    let (state, description) = match release {
        Some(release) => of_release(release),
        None => of_build(build, superseded_by),
    };
    let target_url = match state {
        State::Success => links.environment(&app.name, env),
        State::Pending | State::Failure | State::Error | State::Stopped => {
            links.build(&app.name, build.number)
        }
    };
    Status { state, context: format!("slipway/{env}"), description, target_url }
}

fn of_build(build: &Build, superseded_by: Option<i32>) -> (State, String) {
    let number = build.number;
    match build.state.0 {
        BuildState::Queued => (State::Pending, format!("build #{number} is queued")),
        BuildState::Running => (State::Pending, format!("building #{number}")),
        // A build succeeds together with its release, which goes with its environment.
        BuildState::Succeeded => (State::Stopped, "its environment was removed".to_owned()),
        BuildState::Failed => failed(build.reason.as_deref(), &format!("build #{number} failed")),
        BuildState::Superseded => match superseded_by {
            Some(newer) => (State::Stopped, format!("superseded by #{newer}")),
            None => (State::Stopped, format!("build #{number} was superseded")),
        },
        BuildState::Cancelled => match &build.cancelled_by {
            Some(by) => (State::Stopped, format!("build #{number} was cancelled by {by}")),
            None => (State::Stopped, format!("build #{number} was cancelled")),
        },
    }
}

fn of_release(release: &Release) -> (State, String) {
    let version = release.version;
    match release.state.0 {
        ReleaseState::Queued => (State::Pending, format!("v{version} is queued")),
        ReleaseState::Rolling => (State::Pending, format!("rolling out v{version}")),
        ReleaseState::Live => (State::Success, format!("live as v{version}")),
        ReleaseState::Replaced => (State::Success, format!("was live as v{version}")),
        ReleaseState::Failed => failed(release.reason.as_deref(), &format!("v{version} failed")),
        ReleaseState::Superseded => (State::Stopped, format!("v{version} was superseded")),
    }
}

fn failed(reason: Option<&Reason>, otherwise: &str) -> (State, String) {
    match reason {
        Some(reason) if reason.fault() == Fault::Platform => (State::Error, reason.message.clone()),
        Some(reason) => (State::Failure, reason.message.clone()),
        None => (State::Failure, otherwise.to_owned()),
    }
}

//! Each state of a build and its release, as the status a forge shows.

use domain::reason::{Reason, ReasonCode};
use domain::state::{BuildState, ReleaseState};
use forge::status::State;
use sqlx::types::Json;
use store::Time;
use store::app::App;
use store::build::Build;
use store::release::Release;
use uuid::Uuid;

use crate::status::{Links, status_of};

const EPOCH: Time = Time(jiff::Timestamp::UNIX_EPOCH);

fn app() -> App {
    App {
        id: Uuid::nil(),
        name: "demo".to_owned(),
        forge: None,
        default_branch: "main".to_owned(),
        dockerfile: String::new(),
        context: String::new(),
        target: None,
        port: Some(8080),
        health_path: "/".to_owned(),
        created_at: EPOCH,
    }
}

fn build(state: BuildState, reason: Option<Reason>) -> Build {
    Build {
        id: Uuid::nil(),
        app_id: Uuid::nil(),
        branch_id: Uuid::nil(),
        number: 7,
        branch: "staging".to_owned(),
        commit: super::COMMIT.to_owned(),
        pusher: None,
        rebuild_of: None,
        environment: "staging".to_owned(),
        no_cache: false,
        ttl_seconds: None,
        subject: None,
        author: None,
        state: store::Word(state),
        attempt: 1,
        reason: reason.map(Json),
        superseded_by: None,
        cancelled_by: None,
        cancelled_at: None,
        digest: None,
        created_at: EPOCH,
        started_at: None,
        finished_at: None,
    }
}

fn release(state: ReleaseState, reason: Option<Reason>) -> Release {
    Release {
        id: Uuid::nil(),
        environment_id: Uuid::nil(),
        build_id: Uuid::nil(),
        version: 3,
        image: String::new(),
        port: 8080,
        health_path: "/".to_owned(),
        state: store::Word(state),
        manifests: None,
        reason: reason.map(Json),
        created_at: EPOCH,
        started_at: None,
        finished_at: None,
    }
}

fn links() -> Links {
    Links { base_url: "https://slipway.example/".parse().unwrap(), base_domain: "apps.example".to_owned() }
}

fn check(
    build: &Build,
    release: Option<&Release>,
    superseded_by: Option<i32>,
    state: State,
    description: &str,
) {
    let status = status_of(&app(), build, release, superseded_by, &links());
    assert_eq!((status.state, status.description.as_str()), (state, description));
    assert_eq!(status.context, "slipway/staging");
    let target = match state {
        State::Success => "https://staging--demo.apps.example/",
        State::Pending | State::Failure | State::Error | State::Stopped => {
            "https://slipway.example/apps/demo/builds/7"
        }
    };
    assert_eq!(status.target_url, target);
}

#[test]
fn of_a_build() {
    let step = Some(Reason::new(ReasonCode::StepFailed, "npm ci failed"));
    let gone = Some(Reason::new(ReasonCode::BuildkitUnavailable, "BuildKit does not answer"));
    check(&build(BuildState::Queued, None), None, None, State::Pending, "build #7 is queued");
    check(&build(BuildState::Running, None), None, None, State::Pending, "building #7");
    check(&build(BuildState::Succeeded, None), None, None, State::Stopped, "its environment was removed");
    check(&build(BuildState::Failed, step), None, None, State::Failure, "npm ci failed");
    check(&build(BuildState::Failed, gone), None, None, State::Error, "BuildKit does not answer");
    check(&build(BuildState::Superseded, None), None, Some(8), State::Stopped, "superseded by #8");
    let cancelled = build(BuildState::Cancelled, None);
    check(&cancelled, None, None, State::Stopped, "build #7 was cancelled");
    let by_ada = Build { cancelled_by: Some("ada".to_owned()), ..cancelled };
    check(&by_ada, None, None, State::Stopped, "build #7 was cancelled by ada");
}

#[test]
fn of_a_release() {
    let built = build(BuildState::Succeeded, None);
    let crash = || Some(Reason::new(ReasonCode::CrashedOnStart, "it ended with 1 right after its start"));
    let check = |state, reason, expected, text: &str| {
        check(&built, Some(&release(state, reason)), None, expected, text);
    };
    check(ReleaseState::Queued, None, State::Pending, "v3 is queued");
    check(ReleaseState::Rolling, None, State::Pending, "rolling out v3");
    check(ReleaseState::Live, None, State::Success, "live as v3");
    check(ReleaseState::Replaced, None, State::Success, "was live as v3");
    check(ReleaseState::Failed, crash(), State::Failure, "it ended with 1 right after its start");
    check(ReleaseState::Superseded, None, State::Stopped, "v3 was superseded");
}

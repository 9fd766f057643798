//! Builds as JSON: what the API promises.

use domain::reason::{Reason, ReasonCode};
use domain::state::ReleaseState;
use jiff::{SignedDuration, Timestamp};
use sqlx::types::Json;
use uuid::Uuid;

use super::*;

fn at(ms: i64) -> Time {
    let start: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
    Time(start + SignedDuration::from_millis(ms))
}

fn app() -> store::app::App {
    store::app::App {
        id: Uuid::nil(),
        name: "demo".into(),
        forge: None,
        default_branch: "main".into(),
        dockerfile: "Dockerfile".into(),
        context: String::new(),
        target: None,
        port: Some(8080),
        health_path: "/".into(),
        created_at: at(0),
    }
}

fn row(state: BuildState) -> Row {
    Row {
        id: Uuid::nil(),
        app_id: Uuid::nil(),
        branch_id: Uuid::nil(),
        number: 7,
        branch: "main".into(),
        commit: "7f70ee95".repeat(5),
        pusher: Some("laptop".into()),
        rebuild_of: None,
        environment: "main".into(),
        no_cache: false,
        ttl_seconds: None,
        subject: Some("Say hello".into()),
        author: Some("Ada".into()),
        state: store::Word(state),
        attempt: 1,
        reason: None,
        superseded_by: None,
        cancelled_by: None,
        cancelled_at: None,
        digest: Some("sha256:1".into()),
        created_at: at(0),
        started_at: Some(at(250)),
        finished_at: Some(at(2250)),
    }
}

fn release(state: ReleaseState) -> store::release::Release {
    store::release::Release {
        id: Uuid::nil(),
        environment_id: Uuid::nil(),
        build_id: Uuid::nil(),
        version: 3,
        image: "registry/demo@sha256:1".into(),
        port: 8080,
        health_path: "/".into(),
        state: store::Word(state),
        manifests: None,
        reason: None,
        created_at: at(2250),
        started_at: Some(at(2300)),
        finished_at: Some(at(2800)),
    }
}

fn links() -> Links {
    Links::new(&"http://slipway.localhost:8080".parse().unwrap(), "slipway.localhost:8080", "")
}

fn json(build: &Build) -> String {
    serde_json::to_string_pretty(build).unwrap()
}

#[test]
fn a_live_build() {
    let placed = Placed { release: Some(release(ReleaseState::Live)), superseded_by: None, reuses: None };
    insta::assert_snapshot!(json(&Build::new(&links(), &app(), &row(BuildState::Succeeded), &placed)));
}

#[test]
fn a_failed_release_fails_the_build() {
    let reason = Reason::new(ReasonCode::CrashedOnStart, "the container exited with 1")
        .with_lines(vec!["\u{1b}[31mError: no DATABASE_URL\u{1b}[0m".into()]);
    let failed = store::release::Release { reason: Some(Json(reason)), ..release(ReleaseState::Failed) };
    let placed = Placed { release: Some(failed), superseded_by: None, reuses: None };
    let build = Build::new(&links(), &app(), &row(BuildState::Succeeded), &placed);
    assert_eq!(build.status, Status::Failed);
    assert_eq!(build.durations.push_to_live_ms, None, "it never was live");
    insta::assert_snapshot!(serde_json::to_string_pretty(&build.failure()).unwrap());
}

#[test]
fn a_superseded_build_is_no_failure() {
    let waiting = Row { started_at: None, digest: None, ..row(BuildState::Superseded) };
    let build = Build::new(
        &links(),
        &app(),
        &waiting,
        &Placed { release: None, superseded_by: Some(8), reuses: None },
    );
    assert_eq!((build.status, build.superseded_by), (Status::Superseded, Some(8)));
    assert_eq!(build.durations, Durations::default());
    assert!(build.failure().is_none());
}

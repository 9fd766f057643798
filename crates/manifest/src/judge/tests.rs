//! Each signal of a roll-out: before its patience ends, and after.

use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};

use super::*;

const RELEASE: Uuid = Uuid::from_u128(7);

fn expected() -> Expected {
    Expected {
        release: RELEASE,
        generation: 4,
        started: Timestamp::UNIX_EPOCH,
        deadline: SignedDuration::from_secs(120),
        port: 8080,
        health_path: "/healthz".to_owned(),
    }
}

fn pod(release: Uuid, status: &Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "web-1", "labels": {label::RELEASE: release.to_string()}},
        "spec": {"containers": [{"name": "web", "resources": {"limits": {"memory": "512Mi"}}}]},
        "status": status,
    }))
    .unwrap()
}

fn event(reason: &str, message: &str, count: i32) -> Event {
    serde_json::from_value(json!({
        "metadata": {"name": reason}, "involvedObject": {"name": "web-1"},
        "reason": reason, "message": message, "count": count,
    }))
    .unwrap()
}

/// A pod of the release in `status`, with `events`.
fn observed(status: &Value, events: Vec<Event>) -> Observed {
    Observed {
        pods: [("web-1".to_owned(), pod(RELEASE, status))].into(),
        events: events.into_iter().map(|it| (it.metadata.name.clone().unwrap(), it)).collect(),
        ..Observed::default()
    }
}

fn container(restarts: i32, state: &Value, last: &Value) -> Value {
    json!({"containerStatuses": [{
        "name": "web", "image": "", "imageID": "", "ready": false, "restartCount": restarts,
        "state": state, "lastState": last,
    }]})
}

fn waiting(reason: &str, message: &str) -> Value {
    container(0, &json!({"waiting": {"reason": reason, "message": message}}), &json!({}))
}

fn ended(code: i32, reason: &str) -> Value {
    json!({"terminated": {"exitCode": code, "reason": reason}})
}

fn unscheduled(message: &str) -> Value {
    json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]})
}

fn running() -> Value {
    json!({"running": {}})
}

fn at(observed: &Observed, second: i64) -> Rollout {
    judge(observed, &expected(), Timestamp::from_second(second).unwrap())
}

fn failure(rollout: Rollout) -> Failure {
    match rollout {
        Rollout::Failed(failure) => failure,
        Rollout::Progressing | Rollout::Answering => panic!("{rollout:?}"),
    }
}

/// Goes on until the second before `second`, then fails with `code`.
#[track_caller]
fn fails(observed: &Observed, second: i64, code: ReasonCode) -> Failure {
    if second > 0 {
        assert_eq!(at(observed, second - 1), Rollout::Progressing);
    }
    let failure = failure(at(observed, second));
    assert_eq!(failure.reason.code, code, "{failure:?}");
    failure
}

#[test]
fn goes_on_while_nothing_is_wrong() {
    for status in [
        json!({}),
        unscheduled("0/1 nodes are available: 1 Insufficient memory"),
        waiting("ContainerCreating", ""),
        container(0, &running(), &json!({})),
        container(0, &ended(1, "Error"), &json!({})),
        container(1, &running(), &ended(1, "Error")),
    ] {
        assert_eq!(at(&observed(&status, vec![]), 10), Rollout::Progressing, "{status}");
    }
}

#[test]
fn an_answer_ends_it_whatever_else_is_seen() {
    let mut seen = observed(&waiting("InvalidImageName", "bad"), vec![]);
    seen.answered = true;
    assert_eq!(at(&seen, 500), Rollout::Answering);
}

#[test]
fn only_the_releases_own_pods_count() {
    let crashed = container(5, &json!({"waiting": {"reason": "CrashLoopBackOff"}}), &ended(1, "Error"));
    let mut seen = observed(&crashed, vec![]);
    seen.pods.insert("web-1".to_owned(), pod(Uuid::nil(), &crashed));
    assert_eq!(at(&seen, 1), Rollout::Progressing, "a pod of another release");
    let mut leaving = pod(RELEASE, &crashed);
    leaving.metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH));
    seen.pods.insert("web-1".to_owned(), leaving);
    assert_eq!(at(&seen, 1), Rollout::Progressing, "a pod that leaves");
}

#[test]
fn a_crash_counts_at_the_second_exit() {
    let twice = observed(&container(1, &ended(1, "Error"), &ended(1, "Error")), vec![]);
    let failure = fails(&twice, 0, ReasonCode::CrashedOnStart);
    assert_eq!(failure.reason.message, "the application ended with exit code 1");
    assert_eq!(failure.log, Some(LogSource { pod: "web-1".to_owned(), previous: false }));

    let backing_off = container(1, &json!({"waiting": {"reason": "CrashLoopBackOff"}}), &ended(137, "Error"));
    let failure = fails(&observed(&backing_off, vec![]), 0, ReasonCode::CrashedOnStart);
    assert!(failure.reason.message.contains("signal 9"), "{}", failure.reason.message);

    let running_again = observed(&container(2, &running(), &ended(0, "Completed")), vec![]);
    let failure = fails(&running_again, 0, ReasonCode::CrashedOnStart);
    assert!(failure.reason.message.contains("must go on running"), "{}", failure.reason.message);
    assert_eq!(failure.log, Some(LogSource { pod: "web-1".to_owned(), previous: true }));
}

#[test]
fn out_of_memory_is_named() {
    let killed = container(1, &ended(137, "OOMKilled"), &ended(137, "OOMKilled"));
    let failure = fails(&observed(&killed, vec![]), 0, ReasonCode::OutOfMemory);
    assert!(failure.reason.message.ends_with("memory limit of 512Mi"), "{}", failure.reason.message);
}

#[test]
fn a_command_that_cannot_run_fails_at_once() {
    let message = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create \
                   failed: unable to start container process: error during container init: exec: \"/nope\": stat /nope: \
                   no such file or directory: unknown";
    let plain = "the container cannot start: exec: \"/nope\": stat /nope: no such file or directory";
    for status in [
        container(
            0,
            &json!({"terminated": {"exitCode": 128, "reason": "StartError", "message": message}}),
            &json!({}),
        ),
        waiting("RunContainerError", message),
    ] {
        let failure = fails(&observed(&status, vec![]), 0, ReasonCode::CannotStart);
        assert_eq!(failure.reason.message, plain);
    }
}

#[test]
fn an_image_that_is_not_there_fails_at_once() {
    for (reason, message) in [
        ("InvalidImageName", "couldn't parse image name"),
        ("ErrImageNeverPull", "Container image is not present with pull policy of Never"),
        ("ErrImagePull", "rpc error: code = NotFound desc = failed to resolve reference: not found"),
        ("ImagePullBackOff", "Back-off pulling image: ErrImagePull: 401 Unauthorized"),
    ] {
        fails(&observed(&waiting(reason, message), vec![]), 0, ReasonCode::ImagePullFailed);
    }
}

#[test]
fn an_unreachable_registry_is_borne_for_a_second_attempt() {
    let status = waiting("ErrImagePull", "dial tcp 10.0.0.1:5000: i/o timeout");
    let failed = |count| vec![event("Failed", "Failed to pull image \"x\": i/o timeout", count)];
    fails(&observed(&status, failed(1)), 60, ReasonCode::RegistryUnavailable);
    fails(&observed(&status, failed(2)), 0, ReasonCode::RegistryUnavailable);
}

#[test]
fn no_room_is_borne_for_15_seconds() {
    let message = "0/1 nodes are available: 1 Insufficient memory. preemption: 0/1 nodes are available";
    let failure = fails(&observed(&unscheduled(message), vec![]), 15, ReasonCode::Unschedulable);
    assert_eq!(failure.reason.message, "0/1 nodes are available: 1 Insufficient memory");

    let ill = "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }";
    fails(&observed(&unscheduled(ill), vec![]), 15, ReasonCode::NodeFault);

    let growing = observed(&unscheduled(message), vec![event("TriggeredScaleUp", "1->2", 1)]);
    fails(&growing, 120, ReasonCode::Unschedulable);
}

#[test]
fn a_missing_secret_is_borne_for_5_seconds() {
    let missing = waiting("CreateContainerConfigError", "secret \"db\" not found");
    fails(&observed(&missing, vec![]), 5, ReasonCode::CannotStart);
    let root = waiting("CreateContainerConfigError", "container has runAsNonRoot and image will run as root");
    let failure = fails(&observed(&root, vec![]), 0, ReasonCode::CannotStart);
    assert!(failure.reason.hint.contains("USER"), "{}", failure.reason.hint);
}

#[test]
fn a_node_that_cannot_prepare_the_pod_is_at_fault() {
    let creating = waiting("ContainerCreating", "");
    let sandbox = vec![event("FailedCreatePodSandBox", "plugin type=\"bridge\" failed", 3)];
    fails(&observed(&creating, sandbox), 15, ReasonCode::NodeFault);
    fails(&observed(&creating, vec![event("FailedMount", "timed out", 1)]), 60, ReasonCode::NodeFault);
    let came_up = container(0, &running(), &json!({}));
    let sandbox = vec![event("FailedCreatePodSandBox", "plugin type=\"bridge\" failed", 1)];
    assert_eq!(at(&observed(&came_up, sandbox), 100), Rollout::Progressing);
}

fn replica_failure(generation: i64, message: &str) -> Observed {
    let deployment: Deployment = serde_json::from_value(json!({
        "metadata": {"name": "web"},
        "status": {"observedGeneration": generation, "conditions": [
            {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message},
        ]},
    }))
    .unwrap();
    Observed { deployment: Some(deployment), ..Observed::default() }
}

#[test]
fn a_refused_pod_fails_by_the_rule_that_refused_it() {
    fails(&replica_failure(4, "violates PodSecurity \"restricted:latest\""), 0, ReasonCode::Refused);
    fails(
        &replica_failure(4, "exceeded quota: environment, requested: pods=1"),
        5,
        ReasonCode::QuotaExceeded,
    );
    assert_eq!(
        at(&replica_failure(3, "violates PodSecurity"), 1),
        Rollout::Progressing,
        "of an earlier generation"
    );
}

#[test]
fn the_deadline_tells_how_far_it_came() {
    let refused = "Liveness probe failed: dial tcp 10.244.0.9:8080: connect: connection refused";
    let deaf = observed(&container(0, &running(), &json!({})), vec![event("Unhealthy", refused, 12)]);
    let failure = fails(&deaf, 120, ReasonCode::NeverReady);
    let message = format!("GET /healthz on port 8080 had no answer below status 500 within 120 s: {refused}");
    assert_eq!(failure.reason.message, message);
    assert_eq!(failure.log, Some(LogSource { pod: "web-1".to_owned(), previous: false }));

    let slow = observed(&waiting("ContainerCreating", ""), vec![]);
    let failure = fails(&slow, 120, ReasonCode::NeverReady);
    assert!(failure.reason.message.ends_with("ContainerCreating"), "{}", failure.reason.message);

    fails(&Observed::default(), 120, ReasonCode::NeverReady);
}

#[test]
fn the_log_may_know_better() {
    let crash = || Failure::new(ReasonCode::CrashedOnStart, "the application ended with exit code 1");
    let reason = crash().into_reason(vec!["exec /app: exec format error".to_owned()]);
    assert_eq!(reason.code, ReasonCode::CannotStart);
    let reason = crash().into_reason(vec!["panic".to_owned()]);
    assert_eq!((reason.code, reason.lines.len()), (ReasonCode::CrashedOnStart, 1));
}

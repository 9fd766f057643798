//! The signals of one pod, and how long each is borne.

use domain::reason::ReasonCode;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Event, Pod};

use super::{Failure, LogSource, Observed};
use crate::label::WEB;

/// A scheduler needs a moment to see the room that a leaving pod makes.
const SCHEDULE_PATIENCE: SignedDuration = SignedDuration::from_secs(15);
/// What the pod refers to may be a moment late.
const CONFIG_PATIENCE: SignedDuration = SignedDuration::from_secs(5);
/// Two attempts of the kubelet to pull are 10 s apart; an unreachable registry may need long for one.
const PULL_PATIENCE: SignedDuration = SignedDuration::from_secs(60);
const SANDBOX_PATIENCE: SignedDuration = SignedDuration::from_secs(15);
const MOUNT_PATIENCE: SignedDuration = SignedDuration::from_secs(60);

/// The first restart is immediate, so one exit may be bad luck at the start; a second one is not.
const EXITS_MAX: i32 = 2;
/// What the container runtime exits with when the command cannot be run.
const EXIT_CANNOT_RUN: i32 = 128;

pub(super) fn judge(pod: &Pod, observed: &Observed, age: SignedDuration) -> Option<Failure> {
    let container = container(pod);
    container
        .and_then(|it| crashed(pod, it))
        .or_else(|| container.and_then(|it| cannot_wait(pod, it, observed, age)))
        .or_else(|| unschedulable(pod, observed, age))
        .or_else(|| node_fault(pod, observed, age))
}

/// It ran and ended, or could not even begin to run.
fn crashed(pod: &Pod, container: &ContainerStatus) -> Option<Failure> {
    let now = container.state.as_ref().and_then(|state| state.terminated.as_ref());
    let before = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let ended = now.or(before)?;
    if matches!(ended.reason.as_deref(), Some("StartError" | "ContainerCannotRun"))
        || ended.exit_code == EXIT_CANNOT_RUN && ended.message.is_some()
    {
        return Some(Failure::new(
            ReasonCode::CannotStart,
            start_error(ended.message.as_deref().unwrap_or_default()),
        ));
    }
    let exits = container.restart_count + i32::from(now.is_some());
    let backing_off = waiting_reason(container) == Some("CrashLoopBackOff");
    if exits < EXITS_MAX && !backing_off {
        return None;
    }
    let running = container.state.as_ref().is_some_and(|state| state.running.is_some());
    let log = Some(LogSource { pod: name(pod).to_owned(), previous: running });
    Some(Failure { log, ..crash(pod, ended, [now, before].into_iter().flatten()) })
}

fn crash<'a>(
    pod: &Pod,
    ended: &ContainerStateTerminated,
    mut runs: impl Iterator<Item = &'a ContainerStateTerminated>,
) -> Failure {
    if runs.any(|run| run.reason.as_deref() == Some("OOMKilled")) {
        let limit = memory_limit(pod).map_or_else(String::new, |limit| format!(" of {limit}"));
        let message = format!("the application was killed for using more than its memory limit{limit}");
        return Failure::new(ReasonCode::OutOfMemory, message);
    }
    let how = match ended.exit_code {
        0 => {
            "the application ended by itself without an error (exit code 0); it must go on running".to_owned()
        }
        code @ 129..=192 => format!("the application was ended by signal {} (exit code {code})", code - 128),
        code => format!("the application ended with exit code {code}"),
    };
    Failure::new(ReasonCode::CrashedOnStart, how)
}

/// The kubelet says what the container waits for, and waiting longer is of no use.
fn cannot_wait(
    pod: &Pod,
    container: &ContainerStatus,
    observed: &Observed,
    age: SignedDuration,
) -> Option<Failure> {
    let message = container.state.as_ref()?.waiting.as_ref()?.message.as_deref().unwrap_or_default();
    let failure = |code: ReasonCode| Some(Failure::new(code, message));
    match waiting_reason(container)? {
        "InvalidImageName" | "ErrImageNeverPull" => failure(ReasonCode::ImagePullFailed),
        "ErrImagePull" | "ImagePullBackOff" | "ImageInspectError" | "RegistryUnavailable" => {
            if is_final_pull_error(message) {
                return failure(ReasonCode::ImagePullFailed);
            }
            (failed_pulls(pod, observed) >= 2 || age >= PULL_PATIENCE)
                .then(|| Failure::new(ReasonCode::RegistryUnavailable, message))
        }
        "CreateContainerConfigError" if message.contains("runAsNonRoot") => {
            let mut failure =
                Failure::new(ReasonCode::CannotStart, "the image runs as root, which this cluster refuses");
            "Add a USER with a numeric id other than 0 to the Dockerfile."
                .clone_into(&mut failure.reason.hint);
            Some(failure)
        }
        "CreateContainerConfigError" | "CreateContainerError" if age >= CONFIG_PATIENCE => {
            failure(ReasonCode::CannotStart)
        }
        "RunContainerError" => Some(Failure::new(ReasonCode::CannotStart, start_error(message))),
        _ => None,
    }
}

/// Images are named by digest: what is not there or not allowed now will not be at the next attempt either.
fn is_final_pull_error(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["not found", "manifest unknown", "unauthorized", "denied", "forbidden", "401", "403"]
        .iter()
        .any(|sign| message.contains(sign))
}

fn failed_pulls(pod: &Pod, observed: &Observed) -> i32 {
    events(pod, observed)
        .filter(|event| {
            is(event, "Failed") && event.message.as_deref().is_some_and(|it| it.contains("pull image"))
        })
        .map(|event| event.count.or_else(|| event.series.as_ref()?.count).unwrap_or(1))
        .sum()
}

fn unschedulable(pod: &Pod, observed: &Observed, age: SignedDuration) -> Option<Failure> {
    let message = unscheduled(pod)?;
    let grows = events(pod, observed).any(|event| is(event, "TriggeredScaleUp"));
    if age < SCHEDULE_PATIENCE || grows {
        return None;
    }
    let node_is_ill = message.contains("taint {node.kubernetes.io/");
    Some(Failure::new(if node_is_ill { ReasonCode::NodeFault } else { ReasonCode::Unschedulable }, message))
}

/// What the scheduler says, without its remarks on preemption.
pub(super) fn unscheduled(pod: &Pod) -> Option<&str> {
    let conditions = pod.status.as_ref()?.conditions.as_deref()?;
    let condition = conditions.iter().find(|it| it.type_ == "PodScheduled" && it.status == "False")?;
    let message = condition.message.as_deref().unwrap_or("the pod is not assigned to a node");
    Some(message.split(" preemption:").next().unwrap_or(message).trim_end_matches('.'))
}

/// The node cannot make the pod's network or volumes: not the application's fault.
fn node_fault(pod: &Pod, observed: &Observed, age: SignedDuration) -> Option<Failure> {
    waiting(pod)?;
    events(pod, observed).find_map(|event| {
        let patience = match event.reason.as_deref()? {
            "FailedCreatePodSandBox" => SANDBOX_PATIENCE,
            "FailedMount" | "FailedAttachVolume" => MOUNT_PATIENCE,
            _ => return None,
        };
        let message = event.message.as_deref().unwrap_or("the node cannot prepare the pod");
        (age >= patience).then(|| Failure::new(ReasonCode::NodeFault, message))
    })
}

/// What the container waits for, when it never ran.
pub(super) fn waiting(pod: &Pod) -> Option<&str> {
    match container(pod) {
        None => Some("the node has not begun with it"),
        Some(container) if container.restart_count == 0 => waiting_reason(container),
        Some(_) => None,
    }
}

/// What the last failed probe saw, such as a refused connection.
pub(super) fn last_unhealthy<'a>(pod: &Pod, observed: &'a Observed) -> Option<&'a str> {
    events(pod, observed).filter(|event| is(event, "Unhealthy")).last()?.message.as_deref()
}

pub(super) fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

fn container(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_deref()?.iter().find(|container| container.name == WEB)
}

fn waiting_reason(container: &ContainerStatus) -> Option<&str> {
    container.state.as_ref()?.waiting.as_ref()?.reason.as_deref()
}

fn memory_limit(pod: &Pod) -> Option<&str> {
    let container = pod.spec.as_ref()?.containers.iter().find(|container| container.name == WEB)?;
    container.resources.as_ref()?.limits.as_ref()?.get("memory").map(|limit| limit.0.as_str())
}

fn events<'a>(pod: &Pod, observed: &'a Observed) -> impl Iterator<Item = &'a Event> {
    let name = pod.metadata.name.clone();
    observed.events.values().filter(move |event| event.involved_object.name == name)
}

fn is(event: &Event, reason: &str) -> bool {
    event.reason.as_deref() == Some(reason)
}

/// Of a chain of runtimes' errors, the end that speaks of the command.
fn start_error(message: &str) -> String {
    let end = message.rsplit("unable to start container process: ").next().unwrap_or(message);
    let end = end.trim_start_matches("error during container init: ").trim_end_matches(": unknown");
    format!("the container cannot start: {end}")
}

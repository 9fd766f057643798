//! Says of a watched roll-out whether it goes on, answers or failed, and then why.
//! Looks at the pods of the one release only: what older pods do is not its doing.

use std::collections::BTreeMap;

use domain::reason::{Reason, ReasonCode};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Event, Pod};
use uuid::Uuid;

use crate::label;

mod pod;
#[cfg(test)]
mod tests;

/// A quota that is full may only be so because old pods have not left yet.
const QUOTA_PATIENCE: SignedDuration = SignedDuration::from_secs(5);

/// What is known of the namespace, by object name.
#[derive(Debug, Default)]
pub struct Observed {
    pub pods: BTreeMap<String, Pod>,
    pub events: BTreeMap<String, Event>,
    pub deployment: Option<Deployment>,
    /// Every router sends the environment's requests to the release.
    pub answered: bool,
}

/// What was asked of the cluster. Patience is counted from `started`, by the same clock as `now`: the cluster's
/// timestamps come from others.
#[derive(Debug, Clone)]
pub struct Expected {
    pub release: Uuid,
    /// The Deployment's generation once it was applied; conditions of an earlier one are old news.
    pub generation: i64,
    pub started: Timestamp,
    pub deadline: SignedDuration,
    pub port: u16,
    pub health_path: String,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Rollout {
    Progressing,
    Answering,
    Failed(Failure),
}

#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    pub reason: Reason,
    /// Whose log proves it.
    pub log: Option<LogSource>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct LogSource {
    pub pod: String,
    /// The log of the container's last run, not of the current one.
    pub previous: bool,
}

impl Failure {
    fn new(code: ReasonCode, message: impl Into<String>) -> Failure {
        Failure { reason: Reason::new(code, message), log: None }
    }

    /// Completes the reason with the last lines of the log, which may know better.
    #[must_use]
    pub fn into_reason(self, lines: Vec<String>) -> Reason {
        let mut reason = self.reason;
        if reason.code == ReasonCode::CrashedOnStart
            && lines.iter().any(|line| line.contains("exec format error"))
        {
            reason = Reason::new(
                ReasonCode::CannotStart,
                "the image is made for another kind of machine than the node's",
            );
        }
        reason.with_lines(lines)
    }
}

pub fn judge(observed: &Observed, expected: &Expected, now: Timestamp) -> Rollout {
    if observed.answered {
        return Rollout::Answering;
    }
    let age = now.duration_since(expected.started);
    let failed = pods(observed, expected)
        .find_map(|pod| pod::judge(pod, observed, age))
        .or_else(|| refused(observed.deployment.as_ref()?, expected, age))
        .or_else(|| (age >= expected.deadline).then(|| never_ready(observed, expected)));
    failed.map_or(Rollout::Progressing, Rollout::Failed)
}

/// The release's pods, but for those that leave.
fn pods<'a>(observed: &'a Observed, expected: &Expected) -> impl Iterator<Item = &'a Pod> {
    let release = expected.release.to_string();
    observed.pods.values().filter(move |pod| {
        let labels = pod.metadata.labels.as_ref();
        labels.and_then(|labels| labels.get(label::RELEASE)) == Some(&release)
            && pod.metadata.deletion_timestamp.is_none()
    })
}

/// The cluster did not let the pod be created.
fn refused(deployment: &Deployment, expected: &Expected, age: SignedDuration) -> Option<Failure> {
    let status = deployment.status.as_ref()?;
    if status.observed_generation < Some(expected.generation) {
        return None;
    }
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let condition = conditions.iter().find(|it| it.type_ == "ReplicaFailure" && it.status == "True")?;
    let message = condition.message.as_deref().unwrap_or("the cluster refuses the pod and does not say why");
    let code = refusal_code(message);
    (code != ReasonCode::QuotaExceeded || age >= QUOTA_PATIENCE).then(|| Failure::new(code, message))
}

/// What kind of refusal an API server's message is.
pub fn refusal_code(message: &str) -> ReasonCode {
    if message.contains("exceeded quota") { ReasonCode::QuotaExceeded } else { ReasonCode::Refused }
}

/// The deadline went by; says how far it came.
fn never_ready(observed: &Observed, expected: &Expected) -> Failure {
    let seconds = expected.deadline.as_secs();
    let Some(pod) = pods(observed, expected).next() else {
        return Failure::new(
            ReasonCode::NeverReady,
            format!("no pod of the new version appeared within {seconds} s"),
        );
    };
    if let Some(message) = pod::unscheduled(pod) {
        return Failure::new(ReasonCode::Unschedulable, message);
    }
    if let Some(waiting) = pod::waiting(pod) {
        let message = format!("the container did not start within {seconds} s: {waiting}");
        return Failure::new(ReasonCode::NeverReady, message);
    }
    let mut message = format!(
        "GET {} on port {} had no answer below status 500 within {seconds} s",
        expected.health_path, expected.port
    );
    if let Some(known) = pod::last_unhealthy(pod, observed) {
        message.push_str(": ");
        message.push_str(known);
    }
    let log = Some(LogSource { pod: pod::name(pod).to_owned(), previous: false });
    Failure { log, ..Failure::new(ReasonCode::NeverReady, message) }
}

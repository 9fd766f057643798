//! Waits until all of Slipway's pods run the wanted version, and says what is wrong when they do not.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::command;

/// A first start pulls images of a few hundred megabytes.
const PATIENCE: Duration = Duration::from_secs(240);
/// One restart may be a race at start-up, three are a fault.
const RESTARTS: u64 = 3;

pub(super) fn wait(kubectl: &dyn Fn() -> Command, namespaces: &[&str], log: &Path) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    let before = restarts(&pods(kubectl, namespaces)?);
    let mut told = String::new();
    loop {
        let workloads = items(kubectl, namespaces, "deployments,statefulsets")?;
        let missing: Vec<String> = workloads.iter().filter_map(missing).collect();
        if missing.is_empty() {
            return Ok(());
        }
        // The log is where the signs of life take their text from.
        let state = missing.join(", ");
        if state != told {
            writeln!(command::open_log(log)?, "waiting for {state}")?;
            told = state;
        }
        let pods = pods(kubectl, namespaces)?;
        let crashing = restarts(&pods)
            .into_iter()
            .find(|(container, count)| count - before.get(container).unwrap_or(&0).min(count) >= RESTARTS);
        let problem = match crashing {
            Some((container, _)) => format!("{container} crashes again and again"),
            None if Instant::now() > end => {
                format!("after {} s still waiting for {told}", PATIENCE.as_secs())
            }
            None => {
                std::thread::sleep(Duration::from_millis(500));
                continue;
            }
        };
        anyhow::bail!("{problem}\n{}", diagnosis(kubectl, &pods));
    }
}

fn items(kubectl: &dyn Fn() -> Command, namespaces: &[&str], kinds: &str) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    for namespace in namespaces {
        let text =
            command::output(kubectl().args(["--namespace", namespace, "get", kinds, "--output", "json"]))?;
        let mut list: Value = serde_json::from_str(&text)?;
        all.append(list["items"].as_array_mut().unwrap_or(&mut Vec::new()));
    }
    Ok(all)
}

fn pods(kubectl: &dyn Fn() -> Command, namespaces: &[&str]) -> anyhow::Result<Vec<Value>> {
    items(kubectl, namespaces, "pods")
}

/// `slipway-web (0 of 1 ready)`, unless every replica is of the newest version and ready.
fn missing(workload: &Value) -> Option<String> {
    let (status, wanted) = (&workload["status"], workload["spec"]["replicas"].as_u64().unwrap_or(1));
    let count = |field: &str| status[field].as_u64().unwrap_or(0);
    let seen = count("observedGeneration") >= workload["metadata"]["generation"].as_u64().unwrap_or(0);
    let updated = count("updatedReplicas") == wanted && count("replicas") == wanted;
    let ready = if seen && updated { count("readyReplicas") } else { count("updatedReplicas").min(wanted) };
    if seen && updated && ready == wanted {
        return None;
    }
    let name = workload["metadata"]["name"].as_str().unwrap_or_default();
    Some(format!(
        "{name} ({ready} of {wanted} {})",
        if seen && updated { "ready" } else { "of the new version" }
    ))
}

/// How often each container was started again.
fn restarts(pods: &[Value]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for pod in pods {
        for status in statuses(pod) {
            let container = format!("{}/{}", text(&pod["metadata"]["name"]), text(&status["name"]));
            counts.insert(container, status["restartCount"].as_u64().unwrap_or(0));
        }
    }
    counts
}

/// What is to be known about each pod that is not ready: its state, and the last lines of its containers.
fn diagnosis(kubectl: &dyn Fn() -> Command, pods: &[Value]) -> String {
    let mut out = String::new();
    for pod in pods.iter().filter(|pod| !is_ready(pod)) {
        let (namespace, name) = (text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]));
        out.push_str(&format!("pod {namespace}/{name}: {}\n", state(pod)));
        for status in statuses(pod) {
            let previous =
                if status["state"]["running"].is_null() { "--previous=true" } else { "--previous=false" };
            let container = text(&status["name"]);
            let logs =
                ["--namespace", namespace, "logs", name, "--container", container, "--tail=10", previous];
            for line in command::output(kubectl().args(logs)).unwrap_or_default().lines() {
                out.push_str(&format!("  {container}: {line}\n"));
            }
        }
    }
    out
}

/// Why a pod is not ready, in the cluster's own words.
fn state(pod: &Value) -> String {
    let waiting = statuses(pod).find_map(|status| {
        let waiting = &status["state"]["waiting"];
        let reason = waiting["reason"].as_str()?;
        Some(format!("{} waits: {reason} {}", text(&status["name"]), text(&waiting["message"])))
    });
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    let refused = conditions.filter(|condition| condition["status"] == "False").find_map(|condition| {
        Some(format!("{} {}", text(&condition["reason"]), condition["message"].as_str()?))
    });
    waiting.or(refused).unwrap_or_else(|| text(&pod["status"]["phase"]).to_owned())
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn statuses(pod: &Value) -> impl Iterator<Item = &Value> {
    let of = |field: &str| pod["status"][field].as_array().into_iter().flatten();
    of("initContainerStatuses").chain(of("containerStatuses"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn workload(generation: u64, status: &Value) -> Value {
        json!({"metadata": {"name": "web", "generation": generation}, "spec": {"replicas": 1}, "status": status})
    }

    #[test]
    fn a_workload_is_there_when_every_replica_is_new_and_ready() {
        let done = json!({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1});
        assert_eq!(missing(&workload(2, &done)), None);
        assert_eq!(missing(&workload(3, &done)).unwrap(), "web (1 of 1 of the new version)");
        let old_still_there =
            json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "readyReplicas": 2});
        assert!(missing(&workload(2, &old_still_there)).is_some());
        let starting = json!({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1});
        assert_eq!(missing(&workload(2, &starting)).unwrap(), "web (0 of 1 ready)");
    }

    #[test]
    fn the_reason_of_a_waiting_container_comes_first() {
        let pod = json!({"status": {
            "phase": "Pending",
            "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "x"}],
            "containerStatuses": [
                {"name": "slipwayd", "state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}},
            ],
        }});
        assert_eq!(state(&pod), "slipwayd waits: ErrImagePull not found");
        let pod = json!({"status": {"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "Insufficient memory"},
        ]}});
        assert_eq!(state(&pod), "Unschedulable Insufficient memory");
        assert!(!is_ready(&pod));
    }
}

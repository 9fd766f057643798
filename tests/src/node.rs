//! The node under the cluster: killing the processes of a pod, as a crash would, and looking at them.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::platform::Platform;
use crate::{app, wait};

/// The name and first container's id of the one pod behind `selector`.
async fn container(platform: &Platform, namespace: &str, selector: &str) -> Result<(String, String)> {
    let pods = platform.kubectl(&["-n", namespace, "get", "pods", "-l", selector, "-o", "json"]).await?;
    let pods: Value = serde_json::from_str(&pods)?;
    let pod = &pods["items"][0];
    let name = pod.pointer("/metadata/name").and_then(Value::as_str).context("no pod")?;
    let id = pod
        .pointer("/status/containerStatuses/0/containerID")
        .and_then(Value::as_str)
        .context("not running")?;
    let id = id.rsplit_once("//").map_or(id, |(_, id)| id);
    Ok((name.to_owned(), id.to_owned()))
}

/// `kill -9` of the pod's main process; answers the id of the container that died.
pub async fn kill(platform: &Platform, namespace: &str, selector: &str) -> Result<String> {
    let (_, id) = container(platform, namespace, selector).await?;
    let tasks = ctr(platform).args(["tasks", "kill", "-s", "KILL", &id]).output().await?;
    ensure!(tasks.status.success(), "killing {selector}: {}", String::from_utf8_lossy(&tasks.stderr));
    Ok(id)
}

/// How many bytes of memory the pod's main process holds.
pub async fn memory(platform: &Platform, namespace: &str, selector: &str) -> Result<u64> {
    let (_, id) = container(platform, namespace, selector).await?;
    let tasks = ctr(platform).args(["tasks", "list"]).output().await?;
    let tasks = String::from_utf8_lossy(&tasks.stdout);
    let task = tasks.lines().find(|line| line.starts_with(&id)).context("its container is no task")?;
    let process = task.split_whitespace().nth(1).context("its task has no process")?;
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024)
}

/// Deletes the pod, as a roll-out or the draining of a node does; answers the id of its container.
pub async fn delete_pod(platform: &Platform, namespace: &str, selector: &str) -> Result<String> {
    let (name, id) = container(platform, namespace, selector).await?;
    platform.kubectl(&["-n", namespace, "delete", "pod", &name, "--wait=false"]).await?;
    Ok(id)
}

fn ctr(platform: &Platform) -> Command {
    let mut command = Command::new(&platform.ctr);
    command.args(["-a", "/run/slipway/containerd.sock", "-n", "k8s.io"]);
    command
}

/// Waits until the pod's container is another one than `former`, and ready.
pub async fn back(platform: &Platform, namespace: &str, selector: &str, former: &str) -> Result<()> {
    wait::until(&format!("{selector} to be back"), app::PATIENCE, || async {
        let (name, id) = container(platform, namespace, selector).await?;
        let ready = platform
            .kubectl(&[
                "-n",
                namespace,
                "get",
                "pod",
                &name,
                "-o",
                "jsonpath={.status.containerStatuses[0].ready}",
            ])
            .await?;
        Ok(if id != former && ready == "true" { Ok(()) } else { Err(format!("{name} ready: {ready}")) })
    })
    .await
}

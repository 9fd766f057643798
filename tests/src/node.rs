//! The node under the cluster: killing the processes of a pod, as a crash would.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::platform::Platform;
use crate::wait;

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
    let tasks = tokio::process::Command::new(&platform.ctr)
        .args(["-a", "/run/slipway/containerd.sock", "-n", "k8s.io", "tasks", "kill", "-s", "KILL", &id])
        .output()
        .await?;
    ensure!(tasks.status.success(), "killing {selector}: {}", String::from_utf8_lossy(&tasks.stderr));
    Ok(id)
}

/// Waits until the pod's container is another one than `former`, and ready.
pub async fn back(platform: &Platform, namespace: &str, selector: &str, former: &str) -> Result<()> {
    wait::until(&format!("{selector} to be back"), Duration::from_secs(60), || async {
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

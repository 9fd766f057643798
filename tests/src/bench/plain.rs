//! The plain way that Slipway is measured against: a bare repository whose post-receive hook runs buildctl and kubectl.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::bench::clients::{self, Target};
use crate::platform::Platform;
use crate::{app, wait};

const NAMESPACE: &str = "plain";

/// The tools that the hook calls, and where it pushes to.
#[derive(Debug, Clone, clap::Args)]
pub struct Tools {
    #[arg(long, env = "SLIPWAY_BUILDCTL", hide = true)]
    pub buildctl: String,
    #[arg(long, env = "SLIPWAY_BUILDKIT_ADDRESS", hide = true)]
    pub buildkit: String,
    #[arg(long, env = "SLIPWAY_REGISTRY_ADDRESS", hide = true)]
    pub registry: String,
}

#[derive(Debug)]
pub struct Plain {
    _folder: TempDir,
    pub tree: PathBuf,
    pub target: Target,
}

fn hook(platform: &Platform, tools: &Tools, folder: &str) -> String {
    let Tools { buildctl, buildkit, registry } = tools;
    let kubectl = format!("{} --kubeconfig {} -n {NAMESPACE}", platform.kubectl, platform.kubeconfig);
    format!(
        r#"#!/bin/sh
set -e
read -r _ new _
source=$(mktemp -d)
git archive "$new" | tar -x -C "$source"
{buildctl} --addr {buildkit} build --frontend dockerfile.v0 --local context="$source" --local dockerfile="$source" \
  --output type=image,name={registry}/plain:"$new",push=true --metadata-file "$source.json" >{folder}/build.log 2>&1
digest=$(sed -n 's/.*"containerimage.digest": "\(.*\)".*/\1/p' "$source.json")
{kubectl} set image deploy/web web={registry}/plain@"$digest" >/dev/null
{kubectl} rollout status deploy/web --timeout=120s >/dev/null
rm -rf "$source" "$source.json"
"#
    )
}

const MANIFESTS: &str = r#"{"apiVersion": "v1", "kind": "List", "items": [
  {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {
    "replicas": 1, "selector": {"matchLabels": {"app": "web"}},
    "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
    "template": {"metadata": {"labels": {"app": "web"}}, "spec": {
      "terminationGracePeriodSeconds": 1,
      "containers": [{"name": "web", "image": "IMAGE", "env": [{"name": "PORT", "value": "8080"}],
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}}]}}}},
  {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {
    "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}}
]}"#;

/// Sets the plain way up with the same application, and waits until its first version answers.
pub async fn set_up(platform: &Platform, tools: &Tools, source: &str, marker: &str) -> Result<Plain> {
    let folder = tempfile::tempdir()?;
    let (tree, bare) = (folder.path().join("tree"), folder.path().join("app.git"));
    run("cp", &["-r", &app::sources().join(source).to_string_lossy(), &tree.to_string_lossy()]).await?;
    let at = tree.to_string_lossy().into_owned();
    run("git", &["init", "--quiet", "--bare", "--initial-branch=main", &bare.to_string_lossy()]).await?;
    run("git", &["-C", &at, "init", "--quiet", "--initial-branch=main"]).await?;
    run("git", &["-C", &at, "remote", "add", "origin", &bare.to_string_lossy()]).await?;
    let script = bare.join("hooks/post-receive");
    std::fs::write(&script, hook(platform, tools, &folder.path().to_string_lossy()))?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;

    let _ = platform.kubectl(&["create", "namespace", NAMESPACE]).await;
    let manifests = folder.path().join("manifests.json");
    std::fs::write(&manifests, MANIFESTS.replace("IMAGE", &format!("{}/plain:first", tools.registry)))?;
    platform.kubectl(&["-n", NAMESPACE, "apply", "-f", &manifests.to_string_lossy()]).await?;
    let service = platform
        .kubectl(&["-n", NAMESPACE, "get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"])
        .await?;
    let plain =
        Plain { _folder: folder, tree, target: Target { url: format!("http://{service}/"), host: None } };
    push(&plain, "First").await?;
    let http = clients::client(false, Duration::from_secs(5))?;
    wait::until("the plain way's first version", Duration::from_secs(180), || async {
        let page = plain.target.ask(&http).await?;
        Ok(if page.contains(marker) { Ok(()) } else { Err(page) })
    })
    .await?;
    Ok(plain)
}

/// Commits everything and pushes it; returns when the hook has ended, as git does.
pub async fn push(plain: &Plain, message: &str) -> Result<()> {
    commit(plain, message).await?;
    push_committed(plain).await
}

pub async fn commit(plain: &Plain, message: &str) -> Result<()> {
    let at = plain.tree.to_string_lossy().into_owned();
    run("git", &["-C", &at, "add", "--all"]).await?;
    let identity = ["-c", "user.name=Bench", "-c", "user.email=bench@example.com"];
    let commit = ["commit", "--quiet", "--allow-empty", "--message", message];
    run("git", &[&["-C", at.as_str()], &identity[..], &commit[..]].concat()).await
}

pub async fn push_committed(plain: &Plain) -> Result<()> {
    run("git", &["-C", &plain.tree.to_string_lossy(), "push", "--quiet", "origin", "main"]).await
}

pub async fn tear_down(platform: &Platform) -> Result<()> {
    platform.kubectl(&["delete", "namespace", NAMESPACE, "--wait=false"]).await?;
    Ok(())
}

async fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = tokio::process::Command::new(program)
        .args(arguments)
        .output()
        .await
        .with_context(|| format!("running {program}"))?;
    ensure!(
        output.status.success(),
        "{program} {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

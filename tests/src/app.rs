//! An application of the tests: its repository on the forge, its work tree here, its row in Slipway.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::platform::{self, Platform};
use crate::{forge, wait};

/// A roll-out on two busy cores, cold base images included.
pub const PATIENCE: Duration = Duration::from_secs(180);

#[derive(Debug)]
pub struct TestApp {
    pub name: String,
    /// Where its forge delivers to; none when it is pushed to Slipway itself.
    pub hook: Option<Hook>,
    pub tree: TempDir,
}

#[derive(Debug)]
pub struct Hook {
    pub url: String,
    pub secret: String,
}

/// The folder of the small applications in this repository.
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("apps")
}

/// One that no application has yet.
pub fn new_name(prefix: &str) -> String {
    format!("{prefix}-{}", &uuid::Uuid::new_v4().simple().to_string()[..6])
}

/// Creates the repository, the application and the webhook, and a work tree that holds `source`; pushes nothing.
pub async fn create(platform: &Platform, prefix: &str, source: &str) -> Result<TestApp> {
    let name = new_name(prefix);
    forge::create_repository(platform, &name).await?;
    let body = json!({
        "name": name, "forge": "gitea", "default_branch": "main",
        "repo_url": format!("{}/{}/{name}.git", platform.forge_cluster_url, platform.forge_user),
        "forge_user": platform.forge_user, "forge_token": platform.forge_token,
    });
    let created = platform::json(platform.api(Method::POST, "/apps").json(&body).send().await?).await?;
    let text = |pointer: &str| {
        created
            .pointer(pointer)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .with_context(|| format!("no {pointer}"))
    };
    let hook = Hook { url: text("/hook/url")?, secret: text("/hook/secret")? };
    forge::create_webhook(platform, &name, &hook.url, &hook.secret).await?;
    let app = TestApp { name, hook: Some(hook), tree: tempfile::tempdir()? };
    git(&app, &["init", "--quiet", "--initial-branch=main"]).await?;
    let remote = format!("{}/{}/{}.git", platform.forge_url, platform.forge_user, app.name);
    git(&app, &["remote", "add", "origin", &remote]).await?;
    replace_source(&app, source).await?;
    Ok(app)
}

/// Makes the work tree hold `source` and nothing else.
pub async fn replace_source(app: &TestApp, source: &str) -> Result<()> {
    git(app, &["rm", "-rq", "--ignore-unmatch", "."]).await?;
    let status = tokio::process::Command::new("cp")
        .arg("-rT")
        .arg(sources().join(source))
        .arg(app.tree.path())
        .status()
        .await?;
    ensure!(status.success(), "copying {source}");
    Ok(())
}

/// Replaces text in one file of the work tree.
pub fn edit(app: &TestApp, file: &str, from: &str, to: &str) -> Result<()> {
    let path = app.tree.path().join(file);
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {file}"))?;
    ensure!(text.contains(from), "{file} does not contain {from:?}");
    Ok(std::fs::write(path, text.replace(from, to))?)
}

/// The one-line change of the benches: the text between a page's title tags.
pub fn replace_title(file: &Path, title: &str) -> Result<()> {
    let text = std::fs::read_to_string(file)?;
    let (Some(from), Some(to)) = (text.find("<title>"), text.find("</title>")) else {
        bail!("{} has no title", file.display());
    };
    Ok(std::fs::write(file, format!("{}<title>{title}{}", &text[..from], &text[to..]))?)
}

/// Commits everything and answers the commit's id.
pub async fn commit(app: &TestApp, message: &str) -> Result<String> {
    git(app, &["add", "--all"]).await?;
    git(app, &["commit", "--quiet", "--allow-empty", "--message", message]).await?;
    Ok(git(app, &["rev-parse", "HEAD"]).await?.trim().to_owned())
}

/// Pushes HEAD to a branch of the forge.
pub async fn push(platform: &Platform, app: &TestApp, branch: &str) -> Result<()> {
    push_refspec(platform, app, &format!("+HEAD:refs/heads/{branch}")).await
}

/// Deletes a branch of the forge.
pub async fn delete_branch(platform: &Platform, app: &TestApp, branch: &str) -> Result<()> {
    push_refspec(platform, app, &format!(":refs/heads/{branch}")).await
}

async fn push_refspec(platform: &Platform, app: &TestApp, refspec: &str) -> Result<()> {
    let credentials = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        format!("{}:{}", platform.forge_user, platform.forge_token),
    );
    let header = format!("Authorization: Basic {credentials}");
    run_git(app, &["push", "--quiet", "origin", refspec], &[("http.extraHeader", &header)]).await?;
    Ok(())
}

/// Commits and pushes to main; answers the commit.
pub async fn deliver(platform: &Platform, app: &TestApp, message: &str) -> Result<String> {
    let commit = commit(app, message).await?;
    push(platform, app, "main").await?;
    Ok(commit)
}

pub async fn git(app: &TestApp, arguments: &[&str]) -> Result<String> {
    run_git(app, arguments, &[]).await
}

async fn run_git(app: &TestApp, arguments: &[&str], config: &[(&str, &str)]) -> Result<String> {
    let identity = [("user.name", "Test"), ("user.email", "test@example.com")];
    let mut command = tokio::process::Command::new("git");
    command.arg("-C").arg(app.tree.path()).args(arguments).stdin(Stdio::null());
    command.env("GIT_CONFIG_COUNT", (identity.len() + config.len()).to_string());
    for (n, (key, value)) in identity.iter().chain(config).enumerate() {
        command.env(format!("GIT_CONFIG_KEY_{n}"), key).env(format!("GIT_CONFIG_VALUE_{n}"), value);
    }
    let output = command.output().await.context("running git")?;
    if !output.status.success() {
        bail!("git {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The builds of a commit, newest first.
pub async fn builds_of(platform: &Platform, app: &TestApp, commit: &str) -> Result<Vec<Value>> {
    let builds = builds(platform, app).await?;
    Ok(builds.into_iter().filter(|build| build["commit"] == commit).collect())
}

pub async fn builds(platform: &Platform, app: &TestApp) -> Result<Vec<Value>> {
    let answer = platform.get(&format!("/apps/{}/builds?limit=100", app.name)).await?;
    Ok(answer["builds"].as_array().cloned().unwrap_or_default())
}

/// Waits until the commit's newest build, or its release, is in one of the final states named; answers the whole build.
pub async fn settled(platform: &Platform, app: &TestApp, commit: &str) -> Result<Value> {
    wait::until(&format!("the end of {} at {commit}", app.name), PATIENCE, || async {
        let Some(build) = builds_of(platform, app, commit).await?.into_iter().next() else {
            return Ok(Err("no build".to_owned()));
        };
        let build = platform.get(&format!("/apps/{}/builds/{}", app.name, build["number"])).await?;
        let state = build["state"].as_str().unwrap_or_default().to_owned();
        let release = build.pointer("/release/state").and_then(Value::as_str).unwrap_or_default().to_owned();
        let ended = match state.as_str() {
            "failed" | "superseded" | "cancelled" => true,
            _ => matches!(release.as_str(), "live" | "failed" | "superseded" | "replaced"),
        };
        Ok(if ended { Ok(build) } else { Err(format!("build {state}, release {release}")) })
    })
    .await
}

/// What the environment of a branch serves at `/`.
pub async fn served(platform: &Platform, app: &TestApp, env: &str) -> Result<(u16, String)> {
    let host = format!("{env}--{}.{}", app.name, platform.base_domain());
    let answer = platform.request(Method::GET, &host, "/").send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

/// Waits until the main environment serves a page that contains `text`.
pub async fn serves(platform: &Platform, app: &TestApp, text: &str) -> Result<()> {
    wait::until(&format!("{} to serve {text:?}", app.name), PATIENCE, || async {
        let (status, body) = served(platform, app, "main").await?;
        Ok(if status == 200 && body.contains(text) { Ok(()) } else { Err((status, body)) })
    })
    .await
}

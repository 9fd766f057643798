//! The Gitea beside the platform: repositories, webhooks, commit statuses.

use std::time::Duration;

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::{Value, json};

use crate::platform::{self, Platform};
use crate::wait;

/// A status is told beside the build. The forge that could not take it is asked again after 5 and after 30 seconds.
pub const PATIENCE: Duration = Duration::from_secs(60);

async fn call(platform: &Platform, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
    let host = platform.forge_url.split_once("://").map_or("", |(_, host)| host);
    let mut request = platform
        .request(method, host, &format!("/api/v1{path}"))
        .header("authorization", format!("token {}", platform.forge_token));
    if let Some(body) = body {
        request = request.json(&body);
    }
    platform::json(request.send().await?).await
}

pub async fn create_repository(platform: &Platform, name: &str) -> Result<()> {
    let body = json!({"name": name, "default_branch": "main", "auto_init": false});
    call(platform, Method::POST, "/user/repos", Some(body)).await.context("creating the repository")?;
    Ok(())
}

/// The id of the new webhook.
pub async fn create_webhook(platform: &Platform, name: &str, url: &str, secret: &str) -> Result<i64> {
    let body = json!({
        "type": "gitea", "active": true, "events": ["push", "create", "delete"],
        "config": {"url": url, "content_type": "json", "secret": secret},
    });
    let path = format!("/repos/{}/{name}/hooks", platform.forge_user);
    let hook = call(platform, Method::POST, &path, Some(body)).await.context("creating the webhook")?;
    hook["id"].as_i64().context("the webhook has no id")
}

/// The combined commit status: `(state, statuses)`.
pub async fn status(platform: &Platform, name: &str, commit: &str) -> Result<(String, Vec<Value>)> {
    let path = format!("/repos/{}/{name}/commits/{commit}/status", platform.forge_user);
    let status = call(platform, Method::GET, &path, None).await?;
    let state = status["state"].as_str().unwrap_or_default().to_owned();
    Ok((state, status["statuses"].as_array().cloned().unwrap_or_default()))
}

/// Waits until the commit's combined status is `state`, and answers what it is made of.
pub async fn shows(platform: &Platform, name: &str, commit: &str, state: &str) -> Result<Vec<Value>> {
    wait::until(&format!("the commit status {state}"), PATIENCE, || async {
        let (shown, statuses) = status(platform, name, commit).await?;
        Ok(if shown == state { Ok(statuses) } else { Err((shown, statuses)) })
    })
    .await
}

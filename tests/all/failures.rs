//! What fails says why, in every view, with the lines that prove it, and the former version still answers.

use anyhow::{Context as _, Result};
use harness::app::TestApp;
use harness::platform::Platform;
use harness::{app, forge, platform};
use reqwest::Method;
use serde_json::Value;

/// What a broken push must show.
struct Expected {
    source: &'static str,
    code: &'static str,
    /// Stands in the reason's message.
    message: &'static str,
    /// Stands in the lines that prove it.
    proof: Option<&'static str>,
}

#[tokio::test]
async fn a_failing_step_fails_the_build() -> Result<()> {
    fails(&Expected {
        source: "fails-to-build",
        code: "step_failed",
        message: "exit",
        proof: Some("unknown property"),
    })
    .await
}

#[tokio::test]
async fn a_crash_on_start_fails_the_release() -> Result<()> {
    fails(&Expected {
        source: "crashes-on-start",
        code: "crashed_on_start",
        message: "1",
        proof: Some("DATABASE_URL"),
    })
    .await
}

#[tokio::test]
async fn an_application_that_never_answers_fails_the_release() -> Result<()> {
    fails(&Expected {
        source: "never-ready",
        code: "never_ready",
        message: "8080",
        proof: Some("waiting for the database"),
    })
    .await
}

#[tokio::test]
async fn a_repository_without_a_dockerfile_says_so() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let app = app::create(&platform, "nodocker", "static").await?;
    std::fs::remove_file(app.tree.path().join("Dockerfile"))?;
    let commit = app::deliver(&platform, &app, "No Dockerfile").await?;
    let build = app::settled(&platform, &app, &commit).await?;
    assert_eq!(build["reason"]["code"], "dockerfile_missing", "{build}");
    Ok(())
}

#[tokio::test]
async fn a_bad_dockerfile_names_its_line() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let app = app::create(&platform, "badfile", "static").await?;
    let path = app.tree.path().join("Dockerfile");
    let text = std::fs::read_to_string(&path)?;
    std::fs::write(&path, format!("{text}FETCH everything\n"))?;
    let commit = app::deliver(&platform, &app, "Bad Dockerfile").await?;
    let build = app::settled(&platform, &app, &commit).await?;
    assert_eq!(build["reason"]["code"], "dockerfile_invalid", "{build}");
    let line = format!("line {}", text.lines().count() + 1);
    assert!(build["reason"]["message"].as_str().is_some_and(|it| it.contains(&line)), "{line}: {build}");
    Ok(())
}

async fn fails(expected: &Expected) -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let app = app::create(&platform, "fails", "static").await?;
    let good = app::deliver(&platform, &app, "A good one").await?;
    assert_eq!(app::settled(&platform, &app, &good).await?["release"]["state"], "live");

    app::replace_source(&app, expected.source).await?;
    let commit = app::deliver(&platform, &app, "A broken one").await?;
    let build = app::settled(&platform, &app, &commit).await?;
    let number = build["number"].as_i64().context("a number")?;
    let reason = if build["state"] == "failed" { &build["reason"] } else { &build["release"]["reason"] };
    assert_eq!(reason["code"], expected.code, "{build:#}");
    assert!(reason["message"].as_str().is_some_and(|it| it.contains(expected.message)), "{reason:#}");
    assert!(reason["hint"].as_str().is_some_and(|it| !it.is_empty()), "{reason:#}");
    if let Some(proof) = expected.proof {
        assert!(reason["lines"].to_string().contains(proof), "{reason:#}");
    }
    let message = reason["message"].as_str().unwrap_or_default();
    shown_on_the_page(&platform, &app, number, message).await?;
    shown_by_the_cli(&platform, &app, number, message).await?;
    shown_on_the_forge(&platform, &app, &commit).await?;
    let (status, body) = app::served(&platform, &app, "main").await?;
    assert!(status == 200 && body.contains("<title>"), "the former version is gone: {status} {body}");
    Ok(())
}

/// HTML escapes some characters; the words between them are what a user reads.
fn words(text: &str) -> Vec<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| word.len() > 3).collect()
}

async fn shown_on_the_page(platform: &Platform, app: &TestApp, number: i64, message: &str) -> Result<()> {
    let path = format!("/apps/{}/builds/{number}", app.name);
    let page = platform
        .request(Method::GET, platform.base_domain(), &path)
        .bearer_auth(&platform.admin_token)
        .send()
        .await?
        .text()
        .await?;
    for word in words(message) {
        assert!(page.contains(word), "{word:?} is not on the page: {page}");
    }
    Ok(())
}

async fn shown_by_the_cli(platform: &Platform, app: &TestApp, number: i64, message: &str) -> Result<()> {
    let (_, shown) = platform.slipway(&["builds", "show", &app.name, &number.to_string()]).await?;
    for word in words(message) {
        assert!(shown.contains(word), "{word:?} is not shown by the CLI: {shown}");
    }
    Ok(())
}

async fn shown_on_the_forge(platform: &Platform, app: &TestApp, commit: &str) -> Result<()> {
    let statuses = forge::shows(platform, &app.name, commit, "failure").await?;
    let described = statuses.iter().any(|it| it["description"].as_str().is_some_and(|it| !it.is_empty()));
    assert!(described, "{}", Value::from(statuses));
    Ok(())
}

//! A push to the forge becomes a running environment, and every view tells the same story.

use anyhow::Result;
use harness::platform::Platform;
use harness::{app, forge, platform, wait};
use reqwest::Method;
use serde_json::Value;

#[tokio::test]
async fn a_push_is_served_and_the_forge_shows_its_url() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let app = app::create(&platform, "push", "node").await?;
    let first = app::deliver(&platform, &app, "Say hello").await?;
    app::serves(&platform, &app, "demo v1").await?;
    app::settled(&platform, &app, &first).await?;

    app::edit(&app, "public/index.html", "demo v1", "demo v2")?;
    let second = app::deliver(&platform, &app, "Say it again").await?;
    app::serves(&platform, &app, "demo v2").await?;
    let build = app::settled(&platform, &app, &second).await?;
    assert_eq!(build["state"], "succeeded");
    assert_eq!(build["release"]["state"], "live");
    assert_eq!(build["subject"], "Say it again");
    assert_eq!(build["author"], "Test");
    assert!(build["steps"].as_array().is_some_and(|steps| steps.len() > 3), "{build}");
    let url = format!("http://main--{}.{}", app.name, platform.base_domain());
    assert_eq!(build["url"], url.as_str(), "{build}");

    let status = forge::shows(&platform, &app.name, &second, "success").await?;
    assert!(
        status.iter().any(|status| status["target_url"].as_str().is_some_and(|it| it.starts_with(&url))),
        "{status:?}"
    );
    Ok(())
}

/// Reads the build's event stream and answers whether a log line arrived while the build was still running.
#[tokio::test]
async fn the_log_is_shown_while_it_grows() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let app = app::create(&platform, "live", "static").await?;
    // the name makes the step a new one: BuildKit would have that of an earlier run cached
    let step = format!("RUN for n in 1 2 3 4 5 6; do echo tick $n; sleep 2; done; : {}\nCMD", app.name);
    app::edit(&app, "Dockerfile", "CMD", &step)?;
    let commit = app::deliver(&platform, &app, "Tick").await?;
    let lines_while_running = wait::until("a line while the build runs", app::PATIENCE, || async {
        let Some(build) = app::builds_of(&platform, &app, &commit).await?.into_iter().next() else {
            return Ok(Err("no build".to_owned()));
        };
        let path = format!("/apps/{}/builds/{}/log", app.name, build["number"]);
        let log = platform.get(&path).await?;
        let ticks =
            log["lines"].as_array().into_iter().flatten().filter(|line| line["text"] == "tick 2").count();
        let state =
            platform.get(&format!("/apps/{}/builds/{}", app.name, build["number"])).await?["state"].clone();
        Ok(if ticks == 1 && state == "running" { Ok(ticks) } else { Err(format!("{state}, {ticks} lines")) })
    })
    .await?;
    assert_eq!(lines_while_running, 1);
    let build = app::settled(&platform, &app, &commit).await?;
    let text = platform
        .api(Method::GET, &format!("/apps/{}/builds/{}/log.txt", app.name, build["number"]))
        .send()
        .await?
        .text()
        .await?;
    for tick in 1..=6 {
        assert_eq!(text.lines().filter(|line| line.trim() == format!("tick {tick}")).count(), 1, "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn another_branch_gets_an_environment_of_its_own() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let app = app::create(&platform, "branch", "static").await?;
    app::deliver(&platform, &app, "First").await?;
    app::serves(&platform, &app, "<title>").await?;
    app::edit(&app, "public/index.html", "<title>", "<title>preview of ")?;
    let commit = app::commit(&app, "Preview").await?;
    app::push(&platform, &app, "preview").await?;
    let build = app::settled(&platform, &app, &commit).await?;
    assert_eq!(build["release"]["state"], "live", "{build}");
    assert!(app::served(&platform, &app, "preview").await?.1.contains("preview of"));
    assert!(!app::served(&platform, &app, "main").await?.1.contains("preview of"));
    Ok(())
}

#[tokio::test]
async fn nothing_is_reachable_without_a_login() -> Result<()> {
    let platform = Platform::from_env()?;
    for path in ["/", "/apps/demo", "/apps/demo/builds/1", "/apps/demo/deliveries"] {
        let answer = platform.request(Method::GET, platform.base_domain(), path).send().await?;
        assert!(
            answer.url().path().starts_with("/login") || answer.status() == 401,
            "{path}: {}",
            answer.status()
        );
        let text = answer.text().await?;
        assert!(!text.contains("demo v"), "{path}: {text}");
    }
    for path in ["/api/v1/apps", "/api/v1/apps/demo/builds", "/api/v1/whoami"] {
        let answer = platform.request(Method::GET, platform.base_domain(), path).send().await?;
        assert_eq!(answer.status(), 401, "{path}");
        let body: Value = serde_json::from_str(&answer.text().await?)?;
        assert!(body["detail"].is_string(), "{body}");
    }
    Ok(())
}

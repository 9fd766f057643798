//! Environments go: with their branch on the forge, or when a user has them removed. What stays is left alone.

use anyhow::Result;
use harness::app::TestApp;
use harness::platform::Platform;
use harness::{app, platform, wait};
use reqwest::Method;

/// An application that is live in `main` and, at a commit of its own, in `feature`.
async fn live_twice(platform: &Platform, prefix: &str) -> Result<TestApp> {
    let app = app::create(platform, prefix, "node").await?;
    let main = app::deliver(platform, &app, "Say hello").await?;
    assert_eq!(app::settled(platform, &app, &main).await?["release"]["state"], "live");
    app::edit(&app, "public/index.html", "demo v1", "demo of a branch")?;
    let feature = app::commit(&app, "Say it on a branch").await?;
    app::push(platform, &app, "feature").await?;
    assert_eq!(app::settled(platform, &app, &feature).await?["release"]["state"], "live");
    serves(platform, &app, "feature", "demo of a branch").await?;
    Ok(app)
}

async fn serves(platform: &Platform, app: &TestApp, env: &str, text: &str) -> Result<()> {
    let (status, body) = app::served(platform, app, env).await?;
    assert!(status == 200 && body.contains(text), "{env}: {status} {body}");
    Ok(())
}

fn namespace(app: &TestApp, env: &str) -> String {
    format!("env-{}--{env}", app.name)
}

/// Waits until the namespace is gone, the host is known no more and no view shows the environment.
async fn is_removed(platform: &Platform, app: &TestApp, env: &str) -> Result<()> {
    let namespace = namespace(app, env);
    wait::until(&format!("the removal of {namespace}"), app::PATIENCE, || async {
        let left =
            platform.kubectl(&["get", "namespace", &namespace, "--ignore-not-found", "-o", "name"]).await?;
        let (status, body) = app::served(platform, app, env).await?;
        let shown = platform.get(&format!("/apps/{}/environments", app.name)).await?.to_string();
        let gone = left.is_empty()
            && status == 404
            && body.contains("No environment of that name")
            && !shown.contains(&namespace);
        Ok(if gone { Ok(()) } else { Err((left, status, shown)) })
    })
    .await
}

#[tokio::test]
async fn an_environment_goes_with_its_branch_and_comes_back_with_it() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let app = live_twice(&platform, "envs").await?;
    app::delete_branch(&platform, &app, "feature").await?;
    is_removed(&platform, &app, "feature").await?;
    serves(&platform, &app, "main", "demo v1").await?;

    app::push(&platform, &app, "feature").await?;
    wait::until("the branch to be served again", app::PATIENCE, || async {
        let (status, body) = app::served(&platform, &app, "feature").await?;
        Ok(if status == 200 && body.contains("demo of a branch") { Ok(()) } else { Err((status, body)) })
    })
    .await
}

#[tokio::test]
async fn a_user_has_an_environment_removed() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let app = live_twice(&platform, "rmenv").await?;
    let path = format!("/apps/{}/environments/feature", app.name);
    let removed = platform.api(Method::DELETE, &path).send().await?;
    assert_eq!(removed.status().as_u16(), 202, "{}", removed.text().await?);
    is_removed(&platform, &app, "feature").await?;
    serves(&platform, &app, "main", "demo v1").await?;
    assert_eq!(platform.api(Method::DELETE, &path).send().await?.status().as_u16(), 404);

    // Even the main one, and the next push brings it back.
    let main = format!("/apps/{}/environments/main", app.name);
    assert_eq!(platform.api(Method::DELETE, &main).send().await?.status().as_u16(), 202);
    wait::until("the removal of main", app::PATIENCE, || async {
        let left = platform
            .kubectl(&["get", "namespace", &namespace(&app, "main"), "--ignore-not-found", "-o", "name"])
            .await?;
        let (status, _) = app::served(&platform, &app, "main").await?;
        Ok(if left.is_empty() && status == 404 { Ok(()) } else { Err((left, status)) })
    })
    .await?;
    app::deliver(&platform, &app, "Say it on main").await?;
    app::serves(&platform, &app, "demo of a branch").await
}

//! Deliveries are hints: many of one push build once, and the newest of many pushes wins.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use futures::future::join_all;
use harness::app::TestApp;
use harness::platform::Platform;
use harness::{app, forge, platform, wait};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Method;
use serde_json::json;
use sha2::Sha256;

fn sign(secret: &str, body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    hex::encode(mac.chain_update(body).finalize().into_bytes())
}

/// Posts a push delivery for `commit` to the application's hook, through the router.
async fn deliver(
    platform: &Platform,
    app: &TestApp,
    key: &str,
    commit: &str,
    signature: Option<&str>,
) -> Result<u16> {
    let body = json!({
        "ref": "refs/heads/main", "before": "0".repeat(40), "after": commit,
        "repository": {"id": 1, "full_name": format!("slip/{}", app.name)}, "commits": [],
    })
    .to_string();
    let hook = app.hook.as_ref().context("a hook")?;
    let id = hook.url.rsplit_once('/').map_or("", |(_, id)| id);
    let signature = signature.map_or_else(|| sign(&hook.secret, body.as_bytes()), str::to_owned);
    let answer = platform
        .request(Method::POST, platform.base_domain(), &format!("/hooks/{id}"))
        .header("content-type", "application/json")
        .header("x-gitea-event", "push")
        .header("x-gitea-delivery", key)
        .header("x-gitea-signature", signature)
        .body(body)
        .send()
        .await?;
    Ok(answer.status().as_u16())
}

#[tokio::test]
async fn fifty_deliveries_of_one_push_build_once() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let app = app::create(&platform, "fifty", "static").await?;
    let commit = app::commit(&app, "Once").await?;
    app::push(&platform, &app, "main").await?;
    let keys: Vec<String> = (0..50).map(|n| format!("key-{}", n % 25)).collect();
    let answers = join_all(keys.iter().map(|key| deliver(&platform, &app, key, &commit, None))).await;
    for answer in answers {
        assert!(matches!(answer?, 200 | 202));
    }
    app::serves(&platform, &app, "<title>").await?;
    app::settled(&platform, &app, &commit).await?;
    assert_eq!(app::builds(&platform, &app).await?.len(), 1);
    let verdicts = verdicts(&platform, &app).await?;
    assert_eq!(verdicts.get("duplicate"), Some(&25), "{verdicts:?}");
    Ok(())
}

async fn verdicts(platform: &Platform, app: &TestApp) -> Result<HashMap<String, usize>> {
    let answer = platform.get(&format!("/apps/{}/deliveries", app.name)).await?;
    let mut verdicts = HashMap::new();
    for delivery in answer["deliveries"].as_array().context("deliveries")? {
        *verdicts.entry(delivery["verdict"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    Ok(verdicts)
}

#[tokio::test]
async fn forged_deliveries_are_refused_and_recorded() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let app = app::create(&platform, "forged", "static").await?;
    let secret = app.hook.as_ref().map(|hook| hook.secret.as_str()).context("a hook")?;
    let right = sign(secret, b"another body");
    for (key, signature) in [("wrong", right.as_str()), ("empty", ""), ("upper", &right.to_uppercase())] {
        assert_eq!(deliver(&platform, &app, key, &"a".repeat(40), Some(signature)).await?, 401, "{key}");
    }
    assert_eq!(verdicts(&platform, &app).await?.get("bad signature"), Some(&3));
    assert!(app::builds(&platform, &app).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn the_last_of_twenty_pushes_runs_and_none_runs_twice() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let app = app::create(&platform, "twenty", "static").await?;
    // All but the last give way, however slow the machine is. The name makes the step one that BuildKit does not know.
    let endless = format!("RUN : {}; sleep 600\nCMD", app.name);
    app::edit(&app, "Dockerfile", "CMD", &endless)?;
    app::edit(&app, "public/index.html", "<title>", "<title>push 00 ")?;
    let mut last = app::deliver(&platform, &app, "Push 0").await?;
    wait::until("the first to be built", app::PATIENCE, || async {
        let builds = app::builds(&platform, &app).await?;
        Ok(if builds.iter().any(|it| it["state"] == "running") { Ok(()) } else { Err(builds.len()) })
    })
    .await?;
    for n in 1..20 {
        if n == 19 {
            app::edit(&app, "Dockerfile", &endless, "CMD")?;
        }
        app::edit(&app, "public/index.html", &format!("push {:02}", n - 1), &format!("push {n:02}"))?;
        last = app::deliver(&platform, &app, &format!("Push {n}")).await?;
    }
    app::serves(&platform, &app, "push 19").await?;
    app::settled(&platform, &app, &last).await?;
    let builds = wait::until("every build to end", app::PATIENCE, || async {
        let builds = app::builds(&platform, &app).await?;
        let open =
            builds.iter().filter(|it| matches!(it["state"].as_str(), Some("queued" | "running"))).count();
        Ok(if open == 0 { Ok(builds) } else { Err(format!("{open} not ended")) })
    })
    .await?;
    let mut commits: Vec<&str> = builds.iter().filter_map(|build| build["commit"].as_str()).collect();
    let all = commits.len();
    commits.sort_unstable();
    commits.dedup();
    assert_eq!(commits.len(), all, "a commit was built twice");
    for build in &builds {
        let expected = if build["commit"] == last.as_str() { "succeeded" } else { "superseded" };
        assert_eq!(build["state"], expected, "{build}");
    }
    assert!(builds.len() > 1, "nothing had to give way");
    forge::shows(&platform, &app.name, &last, "success").await?;
    Ok(())
}

//! A build that is cancelled stops: what its step had started is gone from the node within a second, the row says who
//! and when, everybody who looks is told, and the next push builds.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use harness::app::TestApp;
use harness::platform::{self, Platform};
use harness::{app, forge, wait};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use uuid::Uuid;

/// From the answer to the wish until no process of the step is left.
const STOPPED_WITHIN: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The processes of this node, whatever container they are in, with `marker` on their command line.
fn processes(marker: &str) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(id) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if is_of(id, marker) {
            found.push(id);
        }
    }
    Ok(found)
}

/// One that has ended has no command line any more.
fn is_of(id: u32, marker: &str) -> bool {
    let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).contains(marker)
}

/// How long it takes until the last of them is gone; looks for longer than is allowed, so as to tell how long.
async fn gone(marker: &str, since: Instant) -> Result<Duration> {
    while since.elapsed() < 10 * STOPPED_WITHIN {
        // To read all of /proc each time would take the core that is to stop them.
        let mut left = processes(marker)?;
        if left.is_empty() {
            return Ok(since.elapsed());
        }
        while !left.is_empty() && since.elapsed() < 10 * STOPPED_WITHIN {
            tokio::time::sleep(LOOK_EVERY).await;
            left.retain(|id| is_of(*id, marker));
        }
    }
    anyhow::bail!("processes {:?} are left after {:?}", processes(marker)?, since.elapsed())
}

async fn build_of(platform: &Platform, app: &TestApp, commit: &str) -> Result<Value> {
    app::builds_of(platform, app, commit).await?.into_iter().next().context("no build")
}

/// Pushes a commit with a step that does not end, and waits until it runs.
async fn with_endless_step(platform: &Platform, app: &TestApp, marker: &str) -> Result<(String, u64)> {
    let step = format!("RUN sleep {marker}\nCMD");
    app::edit(app, "Dockerfile", "CMD", &step)?;
    let commit = app::deliver(platform, app, "Sleep").await?;
    wait::until("the step to run", app::PATIENCE, || async {
        let running = processes(marker)?;
        Ok(if running.is_empty() { Err("no process") } else { Ok(()) })
    })
    .await?;
    let number = build_of(platform, app, &commit).await?["number"].as_u64().context("a number")?;
    Ok((commit, number))
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "how long it took is for the record")]
async fn a_cancelled_build_leaves_no_process_on_the_node() -> Result<()> {
    let _lock = platform::alone()?;
    let platform = Platform::from_env()?;
    let app = app::create(&platform, "cancel", "static").await?;
    let marker = format!("9876543.{}", Uuid::new_v4().as_u128() % 1_000_000_000);
    let (commit, number) = with_endless_step(&platform, &app, &marker).await?;

    let path = format!("/apps/{}/builds/{number}", app.name);
    let answer = platform.api(Method::POST, &format!("{path}/cancel")).send().await?;
    let answered = Instant::now();
    let took = gone(&marker, answered).await?;
    println!("the step's processes were gone {} ms after the answer to the wish", took.as_millis());
    assert!(took <= STOPPED_WITHIN, "{took:?}");
    let answer = platform::json(answer).await?;
    assert!(answer["cancelled_at"].is_string(), "{answer:#}");

    let build = app::settled(&platform, &app, &commit).await?;
    assert_eq!(build["state"], "cancelled", "{build:#}");
    let who = build["cancelled_by"].as_str().context("who cancelled it")?;
    assert_eq!(build["cancelled_at"], answer["cancelled_at"]);
    assert!(build["finished_at"].is_string() && build["release"].is_null(), "{build:#}");
    let said = format!("was cancelled by {who}");
    let shown =
        platform.request(Method::GET, platform.base_domain(), &path).bearer_auth(&platform.admin_token);
    let page = shown.send().await?.text().await?;
    assert!(page.contains("Cancelled by <b>") && page.contains(who), "{page}");
    wait::until("the commit's status", forge::PATIENCE, || async {
        let (_, statuses) = forge::status(&platform, &app.name, &commit).await?;
        let told = statuses.iter().any(|it| it["description"].as_str().is_some_and(|it| it.contains(&said)));
        Ok(if told { Ok(()) } else { Err(Value::from(statuses)) })
    })
    .await?;

    let again = platform.api(Method::POST, &format!("{path}/cancel")).send().await?;
    assert_eq!(again.status(), StatusCode::CONFLICT);
    let (succeeded, told) = platform.slipway(&["builds", "cancel", &app.name, &number.to_string()]).await?;
    assert!(!succeeded && told.contains(&said), "{told}");

    app::edit(&app, "Dockerfile", &format!("RUN sleep {marker}\n"), "")?;
    app::deliver(&platform, &app, "Awake").await?;
    app::serves(&platform, &app, "<title>").await
}

#[tokio::test]
async fn the_command_cancels_too() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let app = app::create(&platform, "cancel", "static").await?;
    let marker = format!("9876543.{}", Uuid::new_v4().as_u128() % 1_000_000_000);
    let (commit, number) = with_endless_step(&platform, &app, &marker).await?;
    let (succeeded, told) = platform.slipway(&["builds", "cancel", &app.name, &number.to_string()]).await?;
    assert!(succeeded && told.contains(&format!("#{number} ")), "{told}");
    gone(&marker, Instant::now()).await?;
    let build = app::settled(&platform, &app, &commit).await?;
    assert_eq!(build["state"], "cancelled", "{build:#}");
    let (_, shown) = platform.slipway(&["builds", "show", &app.name, &number.to_string()]).await?;
    assert!(shown.contains("cancelled by "), "{shown}");
    Ok(())
}

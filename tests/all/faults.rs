//! A part is killed in the middle of its work: the environment ends on the pushed commit without another push, once.

use std::time::{Duration, Instant};

use anyhow::Result;
use harness::app::TestApp;
use harness::platform::Platform;
use harness::{app, node, platform, wait};

/// From the part being back to the new version being served.
const RECOVERY: Duration = Duration::from_secs(30);

/// Waits until the commit's build says `state` (of the build, or of its release) and the log contains `line`.
async fn reaches(
    platform: &Platform,
    app: &TestApp,
    commit: &str,
    state: &str,
    line: Option<&str>,
) -> Result<()> {
    wait::until(&format!("{state} of {}", app.name), app::PATIENCE, || async {
        let Some(build) = app::builds_of(platform, app, commit).await?.into_iter().next() else {
            return Ok(Err("no build".to_owned()));
        };
        let path = format!("/apps/{}/builds/{}", app.name, build["number"]);
        let build = platform.get(&path).await?;
        let log = platform.get(&format!("{path}/log")).await?["lines"].to_string();
        let there = (build["state"] == state || build["release"]["state"] == state)
            && line.is_none_or(|line| log.contains(line));
        Ok(if there { Ok(()) } else { Err(format!("{}: {log}", build["state"])) })
    })
    .await
}

/// Kills the pod behind `selector` once `commit` is in the middle of `state`, and waits for the new version.
async fn survives(selector: &str, namespace: &str, state: &str, slow_build: bool) -> Result<()> {
    let _lock = platform::alone()?;
    let platform = Platform::from_env()?;
    let app = app::create(&platform, "fault", "node").await?;
    app::deliver(&platform, &app, "First").await?;
    app::serves(&platform, &app, "demo v1").await?;

    app::edit(&app, "public/index.html", "demo v1", "demo v2")?;
    if slow_build {
        // the name makes the step another one for each application: BuildKit would have it cached
        let step = format!("RUN echo {} in the middle; sleep 6; echo after it\nCMD", app.name);
        app::edit(&app, "Dockerfile", "CMD", &step)?;
    }
    let commit = app::deliver(&platform, &app, "Second").await?;
    reaches(&platform, &app, &commit, state, slow_build.then_some("in the middle")).await?;
    let former = node::kill(&platform, namespace, selector).await?;
    node::back(&platform, namespace, selector, &former).await?;
    let back = Instant::now();
    app::serves(&platform, &app, "demo v2").await?;
    let recovered = back.elapsed();
    assert!(recovered < RECOVERY, "took {recovered:?}");
    let build = app::settled(&platform, &app, &commit).await?;
    assert_eq!(build["release"]["state"], "live", "{build:#}");
    assert_eq!(app::builds_of(&platform, &app, &commit).await?.len(), 1, "built once");
    assert_eq!(build["release"]["version"], 2, "released once: {build:#}");
    Ok(())
}

#[tokio::test]
async fn the_builder_dies_in_the_middle_of_a_build() -> Result<()> {
    survives("app.kubernetes.io/name=slipway-builder", "slipway", "running", true).await
}

#[tokio::test]
async fn buildkitd_dies_in_the_middle_of_a_step() -> Result<()> {
    survives("app.kubernetes.io/name=buildkitd", "slipway-build", "running", true).await
}

#[tokio::test]
async fn the_deployer_dies_in_the_middle_of_a_roll_out() -> Result<()> {
    survives("app.kubernetes.io/name=slipway-deployer", "slipway", "rolling", false).await
}

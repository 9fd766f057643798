//! How an image was made can be read where the build is: its commit, its plan, and the images it began from by digest.

use anyhow::{Context as _, Result};
use harness::app;
use harness::platform::{self, Platform};
use serde_json::Value;

#[tokio::test]
async fn a_build_says_what_its_image_was_made_of() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let app = app::create(&platform, "proven", "static").await?;
    let commit = app::deliver(&platform, &app, "First").await?;
    let build = app::settled(&platform, &app, &commit).await?;
    assert_eq!(build["release"]["state"], "live", "{build:#}");
    let base = build["bases"][0].as_object().context("no base image")?;
    assert_eq!(base["name"], "node:22-bookworm-slim");
    let digest = base["digest"].as_str().and_then(|it| it.strip_prefix("sha256:")).context("no digest")?;

    let shown = tokio::process::Command::new(&platform.cli)
        .args(["builds", "show", &app.name, "--provenance"])
        .env("SLIPWAY_URL", &platform.url)
        .env("SLIPWAY_TOKEN", &platform.admin_token)
        .output()
        .await?;
    let provenance: Value = serde_json::from_slice(&shown.stdout)
        .with_context(|| String::from_utf8_lossy(&shown.stderr).into_owned())?;
    let at = |pointer: &str| provenance.pointer(pointer).cloned().unwrap_or_default();
    assert_eq!(at("/runDetails/metadata/buildkit_metadata/vcs/revision"), commit, "{provenance:#}");
    assert_eq!(at("/runDetails/builder/id"), "urn:slipway:builder");
    assert_eq!(at("/buildDefinition/resolvedDependencies/0/digest/sha256"), digest);
    let plan = at("/buildDefinition/externalParameters/request/args/slipway:plan");
    assert!(plan.as_str().is_some_and(|it| it.contains("Dockerfile")), "{provenance:#}");
    assert!(!provenance.to_string().contains(&platform.forge_token), "a credential is in it");

    // What runs is the image itself: the same as long as nothing of it changes, whatever is attested of each build.
    let image = build["release"]["image"].as_str().context("no image")?;
    assert!(image.ends_with(build["digest"].as_str().context("no digest")?), "{image}");
    Ok(())
}

//! A commit that is built again, by the command line: with what is set now, and when its first build failed.

use anyhow::Result;
use harness::platform::Platform;
use harness::{app, platform, remote};

const DOCKERFILE: &str = "FROM node:22-bookworm-slim\nWORKDIR /app\nCOPY . .\nARG WORD=first\n\
    RUN test \"$WORD\" != broken && echo \"$WORD word\" > public/index.html\nCMD [\"node\", \"server.js\"]\n";

#[tokio::test]
async fn a_commit_is_built_again_with_what_is_set_now() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let remote = remote::create(&platform, "rebuild", "static").await?;
    let name = remote.app.name.as_str();
    std::fs::write(remote.tree.path.join("Dockerfile"), DOCKERFILE)?;
    let commit = remote::commit(&remote.tree, "First").await?;
    let pushed = remote::push(&remote, &[], &["main"]).await?;
    assert_eq!(pushed.code, Some(0), "{}", pushed.text);
    app::serves(&platform, &remote.app, "first word").await?;

    remote::put(&platform, &remote, "args", "WORD", "second").await?;
    let (asked, said) = platform.slipway(&["builds", "rebuild", name, "1"]).await?;
    assert!(asked && said.contains("#2 is queued"), "{said}");
    let (ended, log) = platform.slipway(&["logs", name, "2", "-f"]).await?;
    assert!(ended, "{log}");
    app::serves(&platform, &remote.app, "second word").await?;
    let build = platform.get(&format!("/apps/{name}/builds/2")).await?;
    assert_eq!((&build["commit"], &build["rebuild_of"]), (&commit.into(), &1.into()), "{build:#}");

    // One that never was live: its commit is only known by what was pushed first.
    remote::put(&platform, &remote, "args", "WORD", "broken").await?;
    remote::commit(&remote.tree, "Broken by what is set").await?;
    let pushed = remote::push(&remote, &[], &["main"]).await?;
    assert_eq!(pushed.code, Some(1), "{}", pushed.text);
    remote::put(&platform, &remote, "args", "WORD", "third").await?;
    let (asked, said) = platform.slipway(&["builds", "rebuild", name, "3", "--no-cache"]).await?;
    assert!(asked && said.contains("#4 is queued"), "{said}");
    let (ended, log) = platform.slipway(&["logs", name, "4", "-f"]).await?;
    assert!(ended, "{log}");
    app::serves(&platform, &remote.app, "third word").await?;

    let (asked, said) = platform.slipway(&["builds", "rebuild", name, "1"]).await?;
    assert!(!asked && said.contains("#1 is not what main is now: build #4 again"), "{said}");
    remote::put_away(&platform, &remote).await
}

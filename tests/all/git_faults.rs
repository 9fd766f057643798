//! The receiver is lost while somebody pushes: the build goes on, and the same push comes back to it.

use anyhow::Result;
use harness::platform::Platform;
use harness::remote::Remote;
use harness::words::assert_lines;
use harness::{app, node, platform, remote, wait};

const RECEIVER: (&str, &str) = ("slipway", "app.kubernetes.io/name=slipway-receiver");

/// An application whose push is in the middle of its build, and its commit.
async fn in_the_middle(platform: &Platform, prefix: &str) -> Result<(Remote, String, remote::Running)> {
    let app = remote::create(platform, prefix, "static").await?;
    remote::add_step(&app, "echo in the middle; sleep 20; echo after it")?;
    let commit = remote::commit(&app.tree, "Take long").await?;
    let mut push = remote::start_push(&app, &[], &["main"])?;
    remote::says(&mut push, "remote:          in the middle").await?;
    Ok((app, commit, push))
}

/// Once the cluster sends requests to it again, the build ends, once, and whoever pushes again is told so.
async fn comes_to_its_end(platform: &Platform, app: &Remote, commit: &str) -> Result<()> {
    wait::until("the remote to answer", app::PATIENCE, || async {
        let listed = remote::run(&app.tree, &["ls-remote", "slipway"]).await?;
        Ok(if listed.code == Some(0) { Ok(()) } else { Err(listed.text) })
    })
    .await?;
    let again = remote::push(app, &[], &["main"]).await?;
    assert_eq!(again.code, Some(0), "{}", again.text);
    if again.text != "Everything up-to-date\n" {
        let url = format!("       {}", remote::serves_at(platform, app, "main"));
        let all = [
            "-----> *: it is there already; this is all of it",
            "...",
            "         in the middle",
            "...",
            &url,
        ];
        assert_lines(&again.remote, &all);
    }
    let build = app::settled(platform, &app.app, commit).await?;
    assert_eq!(build["release"]["state"], "live", "{build:#}");
    assert_eq!(build["release"]["version"], 1, "released once: {build:#}");
    assert_eq!(app::builds(platform, &app.app).await?.len(), 1, "built once");
    remote::put_away(platform, app).await
}

#[tokio::test]
async fn the_receiver_dies_in_the_middle_of_a_push() -> Result<()> {
    let _lock = platform::alone()?;
    let platform = Platform::from_env()?;
    let (app, commit, push) = in_the_middle(&platform, "gitkill").await?;
    let (namespace, selector) = RECEIVER;
    let former = node::kill(&platform, namespace, selector).await?;
    let cut = remote::end(push).await?;
    assert_eq!(cut.code, Some(1), "{}", cut.text);
    assert!(cut.text.contains("unexpected disconnect while reading sideband packet"), "{}", cut.text);
    node::back(&platform, namespace, selector, &former).await?;
    comes_to_its_end(&platform, &app, &commit).await
}

#[tokio::test]
async fn the_receiver_is_replaced_in_the_middle_of_a_push() -> Result<()> {
    let _lock = platform::alone()?;
    let platform = Platform::from_env()?;
    let (app, commit, push) = in_the_middle(&platform, "gitterm").await?;
    let (namespace, selector) = RECEIVER;
    let former = node::delete_pod(&platform, namespace, selector).await?;
    let push = remote::end(push).await?;
    let why = " ! [remote rejected] main -> main (detached: build #1 goes on; push again to re-attach)";
    assert_eq!((push.code, push.of_ref("main")), (Some(1), Some(why)), "{}", push.text);
    let end = [
        "...".to_owned(),
        "-----> Detached: build #1 goes on".to_owned(),
        format!("       To come back: push the same commit again, or: slipway logs {} 1 -f", app.app.name),
    ];
    assert_lines(&push.remote, &end);
    node::back(&platform, namespace, selector, &former).await?;
    comes_to_its_end(&platform, &app, &commit).await
}

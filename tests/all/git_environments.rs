//! Where a pushed branch runs: in an environment of its own, in one that the push names, and only for a time.

use anyhow::{Context as _, Result};
use harness::platform::Platform;
use harness::remote::Remote;
use harness::words::assert_lines;
use harness::{app, platform, remote, tree, wait};
use jiff::Timestamp;
use serde_json::Value;

async fn environment(platform: &Platform, app: &Remote, name: &str) -> Result<Option<Value>> {
    let environments = platform.get(&format!("/apps/{}/environments", app.app.name)).await?;
    let mut all = environments["environments"].as_array().context("environments")?.iter();
    Ok(all.find(|it| it["name"] == name).cloned())
}

#[tokio::test]
async fn a_branch_has_an_environment_and_loses_it_with_a_push() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let app = remote::create(&platform, "gitenv", "static").await?;
    // The first push makes its branch the default one, which runs in main.
    let first = remote::push(&app, &["-o", "wait=built"], &["main"]).await?;
    assert_eq!(first.code, Some(0), "{}", first.text);
    let end = [
        "...",
        "-----> Built in *",
        "       image *",
        "-----> Its release goes on by itself",
        "       to see it: *",
    ];
    assert_lines(&first.remote, &end);
    let push = remote::push(&app, &[], &["main:preview"]).await?;
    assert_eq!(push.code, Some(0), "{}", push.text);
    assert_lines(&push.remote, &["-----> * (branch preview, environment preview)", "..."]);
    let url = format!("       {}", remote::serves_at(&platform, &app, "preview"));
    assert_eq!(push.remote.last(), Some(&url));
    assert_eq!(app::served(&platform, &app.app, "preview").await?.0, 200);

    let deletion = remote::push(&app, &[], &[":preview"]).await?;
    assert_eq!(deletion.code, Some(0), "{}", deletion.text);
    assert_lines(&deletion.remote, &["-----> Environment preview is being removed"]);
    assert_lines(&deletion.own(), &[&format!("To {}", app.url), " - [deleted]         preview"]);
    let listed = tree::git(&app.tree, &["ls-remote", "--heads", "slipway", "preview"]).await?;
    assert_eq!(listed, "");
    wait::until("the environment to be gone", app::PATIENCE, || async {
        let left = environment(&platform, &app, "preview").await?;
        let (status, _) = app::served(&platform, &app.app, "preview").await?;
        Ok(if left.is_none() && status == 404 { Ok(()) } else { Err((left, status)) })
    })
    .await?;

    let main = remote::push(&app, &[], &[":main"]).await?;
    assert_eq!(main.code, Some(1), "{}", main.text);
    let why = " ! [remote rejected] main (main runs in the environment main, which a push does not remove)";
    assert_eq!(main.of_ref("main"), Some(why));
    remote::put_away(&platform, &app).await
}

#[tokio::test]
async fn a_push_names_its_environment_and_how_long_it_stays() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let app = remote::create(&platform, "gitttl", "static").await?;
    let push = remote::push(&app, &["-o", "env=staging", "-o", "ttl=2d"], &["main:feature/login"]).await?;
    assert_eq!(push.code, Some(0), "{}", push.text);
    assert_lines(
        &push.remote,
        &["-----> * build #1 of * (branch feature/login, environment staging)", "..."],
    );
    let url = format!("       {}", remote::serves_at(&platform, &app, "staging"));
    assert_eq!(push.remote.last(), Some(&url));
    let staging = environment(&platform, &app, "staging").await?.context("staging")?;
    let at = |pointer| -> Result<Timestamp> {
        let text = staging.pointer(pointer).and_then(Value::as_str);
        Ok(text.with_context(|| format!("{pointer}: {staging}"))?.parse()?)
    };
    assert_eq!(at("/expires_at")?.duration_since(at("/live/created_at")?).as_hours(), 48, "{staging}");

    // The next push alone says how long it stays.
    tree::git(&app.tree, &["commit", "--quiet", "--allow-empty", "--message", "Stay"]).await?;
    let push = remote::push(&app, &["-o", "env=staging"], &["main:feature/login"]).await?;
    assert_eq!(push.code, Some(0), "{}", push.text);
    let staging = environment(&platform, &app, "staging").await?.context("staging")?;
    assert!(staging["expires_at"].is_null(), "{staging}");

    let refused = remote::push(&app, &["-o", "env=No Such", "-o", "ttl=2d"], &["main"]).await?;
    let why = " ! [remote rejected] main -> main (the environment of -o env=No Such cannot be: a name holds only \
               a-z, 0-9 and single hyphens, and starts and ends with a letter or digit)";
    assert_eq!((refused.code, refused.of_ref("main")), (Some(1), Some(why)), "{}", refused.text);
    remote::put_away(&platform, &app).await
}

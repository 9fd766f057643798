//! Who goes away ends nothing but the view, and who comes back sees the build from its first line.

use anyhow::{Context as _, Result};
use harness::platform::Platform;
use harness::words::assert_lines;
use harness::{app, platform, remote, tree};

#[tokio::test]
async fn ctrl_c_ends_the_view_and_the_same_push_comes_back_to_it() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let app = remote::create(&platform, "ctrlc", "static").await?;
    remote::add_step(&app, "echo the beginning; sleep 20; echo the end")?;
    let commit = remote::commit(&app.tree, "Take long").await?;
    let mut first = remote::start_push(&app, &[], &["main"])?;
    remote::says(&mut first, "remote:          the beginning").await?;
    remote::signal(&first, "INT").await?;
    let first = remote::end(first).await?;
    assert_ne!(first.code, Some(0), "{}", first.text);

    let second = remote::push(&app, &[], &["main"]).await?;
    assert_eq!(second.code, Some(0), "{}", second.text);
    let name = &app.app.name;
    let expected = [
        &format!(
            "-----> {name} build #1 of {} (branch main, environment main): it is there already; this is all of it",
            &commit[..8]
        ),
        &format!(
            "       Ctrl-C leaves it running. To come back: push the same commit again, or: slipway logs {name} 1 -f"
        ),
        "-----> Building",
        "...",
        "         the beginning",
        "         the end",
        "...",
        "-----> Live after *",
        &format!("       {}", remote::serves_at(&platform, &app, "main")),
    ];
    assert_lines(&second.remote, &expected);
    assert_eq!(app::builds(&platform, &app.app).await?.len(), 1);
    remote::put_away(&platform, &app).await
}

#[tokio::test]
async fn a_connection_that_is_cut_loses_nothing() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let app = remote::create(&platform, "cutoff", "static").await?;
    remote::add_step(&app, "echo the beginning; sleep 12")?;
    let commit = remote::commit(&app.tree, "Take long").await?;
    let mut push = remote::start_push(&app, &[], &["main"])?;
    remote::says(&mut push, "the beginning").await?;
    remote::signal(&push, "KILL").await?;
    assert_eq!(remote::end(push).await?.code, None);
    let build = app::settled(&platform, &app.app, &commit).await?;
    assert_eq!(build["release"]["state"], "live", "{build:#}");
    let again = remote::push(&app, &[], &["main"]).await?;
    assert_eq!((again.code, again.text.as_str()), (Some(0), "Everything up-to-date\n"));
    assert_eq!(app::builds(&platform, &app.app).await?.len(), 1);
    remote::put_away(&platform, &app).await
}

#[tokio::test]
async fn what_another_is_bringing_live_is_not_dropped_silently() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let mut app = remote::create(&platform, "siblings", "static").await?;
    let name = app.app.name.clone();
    remote::add_step(&app, "echo the beginning; sleep 60")?;
    let bobs = remote::commit(&app.tree, "Bob's").await?;
    let bob = format!("bob-{name}");
    remote::log_in(&mut app.tree, &remote::token(&platform, &bob, "push", "").await?);
    let mut first = remote::start_push(&app, &[], &["main"])?;
    remote::says(&mut first, "the beginning").await?;

    remote::log_in(&mut app.tree, &platform.admin_token);
    tree::git(&app.tree, &["reset", "--quiet", "--hard", "HEAD~1"]).await?;
    let anns = remote::commit(&app.tree, "Ann's").await?;
    let sibling = remote::push(&app, &[], &["main"]).await?;
    let why = format!(
        " ! [remote rejected] main -> main (build #1 of {} by {bob} is still running; wait for it, or push with -o \
         supersede)",
        &bobs[..8]
    );
    assert_eq!((sibling.code, sibling.of_ref("main")), (Some(1), Some(why.as_str())), "{}", sibling.text);

    let supersede = remote::push(&app, &["-o", "supersede"], &["main"]).await?;
    assert_eq!(supersede.code, Some(0), "{}", supersede.text);
    assert!(supersede.remote.first().context("words")?.contains(&format!("build #2 of {}", &anns[..8])));
    let first = remote::end(first).await?;
    let why = " ! [remote rejected] main -> main (build #1 was superseded by #2)";
    assert_eq!((first.code, first.of_ref("main")), (Some(1), Some(why)), "{}", first.text);
    let over = [
        "...".to_owned(),
        " !     Build #1 was superseded by #2: this push is over".to_owned(),
        format!(" !     that one goes on: slipway logs {name} 2 -f"),
    ];
    assert_lines(&first.remote, &over);
    remote::put_away(&platform, &app).await
}

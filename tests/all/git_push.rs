//! A push to Slipway's own remote shows its build, and ends with the URL or with the reason why there is none.

use anyhow::Result;
use harness::platform::Platform;
use harness::remote::{Remote, Said};
use harness::words::assert_lines;
use harness::{app, platform, remote, tree};

/// Why git rejects `main`, in its own words.
fn rejected(why: &str) -> String {
    format!(" ! [remote rejected] main -> main ({why})")
}

fn short(commit: &str) -> &str {
    &commit[..8]
}

/// The first lines of a push.
fn beginning(app: &str, number: i32, commit: &str) -> [String; 2] {
    [
        format!("-----> {app} build #{number} of {} (branch main, environment main)", short(commit)),
        format!(
            "       Ctrl-C leaves it running. To come back: push the same commit again, or: slipway logs {app} {number} -f"
        ),
    ]
}

/// The last lines of a push that went live.
fn live(version: i32, url: &str) -> [String; 8] {
    [
        "-----> Built in *; * of * steps cached".to_owned(),
        "       image sha256:*".to_owned(),
        format!("-----> Release v{version} to environment main"),
        "...".to_owned(),
        "       rolling out; it is live when it answers GET / on port 8080".to_owned(),
        "...".to_owned(),
        "-----> Live after *".to_owned(),
        format!("       {url}"),
    ]
}

fn went_live(push: &Said, app: &Remote, number: i32, version: i32, commit: &str, url: &str) {
    assert_eq!(push.code, Some(0), "{}", push.text);
    let middle = ["...", "-----> Building", "..."].map(str::to_owned);
    assert_lines(
        &push.remote,
        &[&beginning(&app.app.name, number, commit)[..], &middle, &live(version, url)].concat(),
    );
}

#[tokio::test]
async fn a_push_shows_its_build_and_ends_with_the_url() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let app = remote::create(&platform, "gitpush", "static").await?;
    remote::add_step(
        &app,
        "echo hello; printf '\\033[31mred\\033[0m \\033[2Jwiped\\n'; printf 'one\\rtwo\\n'",
    )?;
    let commit = remote::commit(&app.tree, "Greet").await?;
    let url = remote::serves_at(&platform, &app, "main");

    let push = remote::push(&app, &[], &["main"]).await?;
    assert_eq!(push.code, Some(0), "{}", push.text);
    let [first, second] = beginning(&app.app.name, 1, &commit);
    let middle = [
        &first,
        &second,
        "...",
        "-----> Building",
        &format!("       fetched {} in *", short(&commit)),
        "...",
        "       [*] RUN : *",
        "         hello",
        "         \u{1b}[31mred\u{1b}[0m wiped",
        "         two",
        "...",
    ];
    assert_lines(&push.remote, &[&middle.map(str::to_owned)[..], &live(1, &url)].concat());
    let own = [&format!("To {}", app.url), " * [new branch]      main -> main"];
    assert_lines(&push.own(), &own);
    let (status, body) = app::served(&platform, &app.app, "main").await?;
    assert!(status == 200 && body.contains("static v1"), "{status} {body}");

    let again = remote::push(&app, &[], &["main"]).await?;
    assert_eq!((again.code, again.text.as_str()), (Some(0), "Everything up-to-date\n"));
    assert_eq!(app::builds(&platform, &app.app).await?.len(), 1);

    // Nothing of it changed, and it is built anew all the same.
    let commit = remote::commit(&app.tree, "Trust no cache").await?;
    let push = remote::push(&app, &["-o", "no-cache"], &["main"]).await?;
    went_live(&push, &app, 2, 2, &commit, &url);
    assert_lines(&push.remote, &["...", "       [5/5] RUN *", "         hello", "..."]);

    let clone = app.tree.path.join("clone");
    let cloned = remote::run(&app.tree, &["clone", "--quiet", &app.url, "clone"]).await?;
    assert_eq!((cloned.code, cloned.text.as_str()), (Some(0), ""));
    let cloned = tree::git(&app.tree, &["-C", &clone.to_string_lossy(), "rev-parse", "HEAD"]).await?;
    assert_eq!(cloned.trim(), commit);
    remote::put_away(&platform, &app).await
}

#[tokio::test]
async fn a_failing_build_fails_the_push_and_can_be_pushed_again() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let app = remote::create(&platform, "gitfail", "fails-to-build").await?;
    let name = &app.app.name;
    let commit = tree::git(&app.tree, &["rev-parse", "HEAD"]).await?;
    let why = "[4/4] RUN npm run build failed: exit code 3";
    for number in [1, 2] {
        let push = remote::push(&app, &[], &["main"]).await?;
        assert_eq!(push.code, Some(1), "{}", push.text);
        let [first, second] = beginning(name, number, commit.trim());
        let expected = [
            &first,
            &second,
            "...",
            "-----> Building",
            "...",
            "         src/app.css:3:5: error: unknown property 'colour'; did you mean 'color'?",
            "...",
            &format!(" !     Build #{number} failed: {why}"),
            " !     Read the lines below, mend the step and push again.",
            "...",
            " !       src/app.css:3:5: error: unknown property 'colour'; did you mean 'color'?",
            "...",
            &format!(" !     {}/apps/{name}/builds/{number}", platform.url),
        ];
        assert_lines(&push.remote, &expected);
        let expected = rejected(&format!("build #{number} failed: {why}"));
        assert_eq!(push.of_ref("main"), Some(expected.as_str()));
    }
    app::replace_source(&app.app, "static").await?;
    let mended = remote::commit(&app.tree, "Mend it").await?;
    let push = remote::push(&app, &[], &["main"]).await?;
    went_live(&push, &app, 3, 1, &mended, &remote::serves_at(&platform, &app, "main"));
    remote::put_away(&platform, &app).await
}

#[tokio::test]
async fn a_failing_release_fails_the_push_and_the_former_version_serves() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let app = remote::create(&platform, "gitcrash", "static").await?;
    let good = tree::git(&app.tree, &["rev-parse", "HEAD"]).await?;
    let push = remote::push(&app, &[], &["main"]).await?;
    went_live(&push, &app, 1, 1, good.trim(), &remote::serves_at(&platform, &app, "main"));

    app::replace_source(&app.app, "crashes-on-start").await?;
    let commit = remote::commit(&app.tree, "Crash").await?;
    let push = remote::push(&app, &[], &["main"]).await?;
    assert_eq!(push.code, Some(1), "{}", push.text);
    let expected = [
        &beginning(&app.app.name, 2, &commit)[0],
        "...",
        "-----> Release v2 to environment main",
        "...",
        " !     Release v2 failed: *",
        " !     The application ended by itself; the lines below are the last it wrote.",
        "...",
        " !       fatal: the setting DATABASE_URL is missing",
        "...",
        &format!(" !     {}/apps/{}/builds/2", platform.url, app.app.name),
    ];
    assert_lines(&push.remote, &expected);
    let verdict = push.of_ref("main").unwrap_or_default();
    assert_lines(&[verdict], &[rejected("release v2 failed: *")]);
    let (status, body) = app::served(&platform, &app.app, "main").await?;
    assert!(status == 200 && body.contains("static v1"), "the former version is gone: {status} {body}");
    // What went live is what others see.
    let listed = tree::git(&app.tree, &["ls-remote", "--heads", "slipway"]).await?;
    assert_eq!(listed, format!("{}\trefs/heads/main\n", good.trim()));
    remote::put_away(&platform, &app).await
}

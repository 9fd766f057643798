//! Who may clone and push, and what git says to those who may not.

use anyhow::{Context as _, Result};
use harness::platform::Platform;
use harness::remote::{Remote, Said};
use harness::{app, client, platform, remote, tree};
use reqwest::{Method, StatusCode};
use serde_json::json;
use url::Url;

/// Nobody waits for what becomes of it, and it goes by itself.
const SHORTLY: [&str; 4] = ["-o", "wait=queued", "-o", "ttl=1m"];

/// An application that nobody has pushed to yet, and so an empty repository.
async fn created(platform: &Platform, prefix: &str) -> Result<Remote> {
    let app = remote::create(platform, prefix, "static").await?;
    let body = json!({"name": app.app.name});
    platform::json(platform.api(Method::POST, "/apps").json(&body).send().await?).await?;
    Ok(app)
}

async fn listed_with(app: &mut Remote, token: &str) -> Result<Said> {
    remote::log_in(&mut app.tree, token);
    remote::run(&app.tree, &["ls-remote", "slipway"]).await
}

async fn pushed_with(app: &mut Remote, token: &str) -> Result<Said> {
    remote::log_in(&mut app.tree, token);
    remote::push(app, &SHORTLY, &["main"]).await
}

/// The password was wrong, and git forgets it.
fn is_unknown(said: &Said, app: &Remote) {
    let fatal = format!("fatal: Authentication failed for '{}/'", app.url);
    assert_eq!((said.code, said.own().last().copied()), (Some(128), Some(fatal.as_str())), "{}", said.text);
    assert_eq!(said.remote, ["this token is not known here"]);
}

fn is_hidden(said: &Said, app: &Remote) {
    let fatal = format!("fatal: repository '{}/' not found", app.url);
    assert_eq!((said.code, said.own().last().copied()), (Some(128), Some(fatal.as_str())), "{}", said.text);
    let words = format!(
        "there is no application {:?} that this token may use; the first push creates one when the token's scope is \
         push for all applications",
        app.app.name
    );
    assert_eq!(said.remote, [words]);
}

/// The token is known, so git keeps it.
fn is_forbidden(said: &Said, app: &Remote, words: &str) {
    let fatal = format!("fatal: unable to access '{}/': The requested URL returned error: 403", app.url);
    assert_eq!((said.code, said.own().last().copied()), (Some(128), Some(fatal.as_str())), "{}", said.text);
    assert_eq!(said.remote, [words]);
}

#[tokio::test]
async fn without_a_known_token_nothing_is_shown() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let mut app = created(&platform, "gitlogin").await?;
    for service in ["git-upload-pack", "git-receive-pack"] {
        let path = format!("/{}.git/info/refs?service={service}", app.app.name);
        let answer = platform.request(Method::GET, platform.base_domain(), &path).send().await?;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        let challenge = answer.headers().get("www-authenticate").context("a challenge")?;
        assert_eq!(challenge, "Basic realm=\"Slipway: any user, a token as password\"");
        assert_eq!(answer.text().await?, "log in with a token as the password\n");
    }
    let never = format!("slip_{}", "0".repeat(40));
    is_unknown(&listed_with(&mut app, &never).await?, &app);

    let (expired, revoked) = (format!("{}-expired", app.app.name), format!("{}-revoked", app.app.name));
    let secret = remote::token(&platform, &expired, "push", "").await?;
    assert_eq!(listed_with(&mut app, &secret).await?.code, Some(0));
    expire(&platform, &expired).await?;
    is_unknown(&listed_with(&mut app, &secret).await?, &app);
    is_unknown(&pushed_with(&mut app, &secret).await?, &app);

    let secret = remote::token(&platform, &revoked, "push", "").await?;
    assert_eq!(listed_with(&mut app, &secret).await?.code, Some(0));
    platform.api(Method::DELETE, &format!("/tokens/{revoked}")).send().await?.error_for_status()?;
    is_unknown(&listed_with(&mut app, &secret).await?, &app);
    Ok(())
}

/// A token lasts at least a minute; nobody waits that long here.
async fn expire(platform: &Platform, name: &str) -> Result<()> {
    let mut url = Url::parse(&platform.database_url)?;
    url.set_path("slipway");
    let db = store::pool(url.as_str(), 1)?;
    let expired =
        sqlx::query("update token set expires_at = now() where name = $1").bind(name).execute(&db).await?;
    assert_eq!(expired.rows_affected(), 1);
    Ok(())
}

#[tokio::test]
async fn a_scope_is_what_a_token_may_do() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let mut app = created(&platform, "gitscope").await?;
    let name = app.app.name.clone();
    let named = |suffix: &str| format!("{name}-{suffix}");
    let other = created(&platform, "gitother").await?;

    let reads = remote::token(&platform, &named("reads"), "read", &name).await?;
    assert_eq!(listed_with(&mut app, &reads).await?.code, Some(0));
    let cloned = remote::run(&app.tree, &["clone", &app.url, "clone"]).await?;
    let empty = "Cloning into 'clone'...\nwarning: You appear to have cloned an empty repository.\n";
    assert_eq!((cloned.code, cloned.text.as_str()), (Some(0), empty));
    std::fs::remove_dir_all(app.tree.path.join("clone"))?;
    let words = format!("the token \"{name}-reads\" may only read {name}; pushing needs one of scope push");
    is_forbidden(&pushed_with(&mut app, &reads).await?, &app, &words);
    // What a request says of itself gives it no right.
    let sneaky = format!("/{name}.git/git-receive-pack?service=git-upload-pack");
    let sneaky =
        platform.request(Method::POST, platform.base_domain(), &sneaky).basic_auth("git", Some(&reads));
    let sneaky = client::answer(sneaky.header("content-type", client::RECEIVE_REQUEST).body("0000")).await?;
    assert_eq!((sneaky.status, sneaky.text), (403, words + "\n"));

    let others = remote::token(&platform, &named("others"), "admin", &other.app.name).await?;
    is_hidden(&listed_with(&mut app, &others).await?, &app);
    is_hidden(&pushed_with(&mut app, &others).await?, &app);

    let pushes = remote::token(&platform, &named("pushes"), "push", &name).await?;
    let pushed = pushed_with(&mut app, &pushes).await?;
    assert_eq!(pushed.code, Some(0), "{}", pushed.text);
    let builds = app::builds(&platform, &app.app).await?;
    assert_eq!(builds.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_first_push_creates_where_the_token_may() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let mut app = remote::create(&platform, "gitfirst", "static").await?;
    let other = created(&platform, "gitsecond").await?;
    let name = app.app.name.clone();
    let refused = [
        remote::token(&platform, &format!("{name}-one"), "push", &other.app.name).await?,
        remote::token(&platform, &format!("{name}-read"), "read", "").await?,
    ];
    for token in refused {
        is_hidden(&pushed_with(&mut app, &token).await?, &app);
    }
    let all = remote::token(&platform, &format!("{name}-all"), "push", "").await?;
    is_hidden(&listed_with(&mut app, &all).await?, &app);
    tree::git(&app.tree, &["tag", "v1"]).await?;
    let tag = remote::push(&app, &[], &["v1"]).await?;
    assert_eq!(tag.code, Some(1), "{}", tag.text);
    let words = format!("there is no application \"{name}\" yet: its first push has to be a branch");
    assert!(tag.text.contains(&words), "{}", tag.text);

    let pushed = remote::push(&app, &SHORTLY, &["main:trunk"]).await?;
    assert_eq!(pushed.code, Some(0), "{}", pushed.text);
    let shown = platform.get(&format!("/apps/{name}")).await?;
    assert_eq!((&shown["default_branch"], &shown["remote"]), (&json!("trunk"), &json!(app.url)), "{shown}");

    // What cannot be the name of one.
    tree::git(&app.tree, &["remote", "set-url", "slipway", &remote::url(&platform, "Not_A_Name")]).await?;
    let bad = remote::push(&app, &[], &["main"]).await?;
    assert_eq!(bad.code, Some(128), "{}", bad.text);
    let words = "\"Not_A_Name.git\" cannot be an application's repository: a name holds only a-z, 0-9 and single \
                 hyphens, and starts with a letter and ends with a letter or digit";
    assert_eq!(bad.remote, [words]);
    Ok(())
}

#[tokio::test]
async fn what_is_built_from_a_forge_is_pushed_there() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let mut app = remote::create(&platform, "gitforge", "static").await?;
    let forge = format!("http://forge.example/team/{}.git", app.app.name);
    let body = json!({"name": app.app.name, "forge": "gitea", "repo_url": forge});
    platform::json(platform.api(Method::POST, "/apps").json(&body).send().await?).await?;
    let words = format!("{} is built from {forge}: push there", app.app.name);
    let admin = platform.admin_token.clone();
    is_forbidden(&pushed_with(&mut app, &admin).await?, &app, &words);
    is_forbidden(&listed_with(&mut app, &admin).await?, &app, &words);
    Ok(())
}

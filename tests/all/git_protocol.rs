//! What the git endpoint answers to clients that are no git: simple ones, broken ones and hostile ones.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use harness::client::{self, Answer, PLAIN, RECEIVE_REQUEST, SIDE_BAND, UPLOAD_REQUEST, update};
use harness::platform::Platform;
use harness::words::assert_lines;
use harness::{app, platform, remote, tree, wait};
use reqwest::{Method, StatusCode};

#[tokio::test]
async fn without_a_side_band_a_push_ends_when_it_is_accepted() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let app = remote::create(&platform, "plain", "static").await?;
    let name = &app.app.name;
    remote::add_step(&app, "sleep 60")?;
    let commit = remote::commit(&app.tree, "Take long").await?;
    let updates = [update("refs/heads/main", None, Some(&commit))?];
    let body = client::body(&updates, PLAIN, &client::pack(&app).await?);
    let answer = client::push(&platform, name, body).await?;
    assert_eq!(answer.text, "000eunpack ok\n0017ok refs/heads/main\n0000");
    let build = app::builds_of(&platform, &app.app, &commit).await?.pop().context("a build")?;
    assert!(matches!(build["state"].as_str(), Some("queued" | "running")), "{build}");

    // Another commit of the same pusher takes its place; nobody waits for the minute.
    std::fs::remove_file(app.tree.path.join("Dockerfile"))?;
    remote::commit(&app.tree, "Fail at once").await?;
    let push = remote::push(&app, &[], &["main"]).await?;
    assert_eq!(push.code, Some(1), "{}", push.text);
    assert!(push.of_ref("main").is_some_and(|it| it.contains("(build #2 failed: ")), "{}", push.text);
    wait::until("the first build to give way", app::PATIENCE, || async {
        let build = app::builds_of(&platform, &app.app, &commit).await?.pop().context("a build")?;
        Ok(if build["state"] == "superseded" { Ok(()) } else { Err(build["state"].clone()) })
    })
    .await
}

/// What a push is refused with, as a report: git shows nothing of other answers.
#[tokio::test]
async fn what_git_would_not_send_is_refused_with_words() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let app = remote::create(&platform, "handmade", "static").await?;
    let name = &app.app.name;
    let commit = tree::git(&app.tree, &["rev-parse", "HEAD"]).await?;
    let (commit, main) = (commit.trim(), "refs/heads/main");
    let to_main = [update(main, None, Some(commit))?];
    let pack = client::pack(&app).await?;
    let refusal = async |body: Vec<u8>| -> Result<String> {
        let answer: Answer = client::push(&platform, name, body).await?;
        let why = answer.refusal(main).map(str::to_owned);
        why.with_context(|| format!("no refusal of main: {} {}", answer.status, answer.text))
    };

    let no_pack = refusal(client::body(&to_main, SIDE_BAND, b"this is no pack at all")).await?;
    assert_lines(&[no_pack], &["protocol error (pack signature mismatch detected)"]);
    let never = "1".repeat(40);
    let missing = refusal(client::body(&[update(main, None, Some(&never))?], SIDE_BAND, &pack)).await?;
    assert_lines(&[missing], &["missing necessary objects*"]);
    let files = tree::git(&app.tree, &["rev-parse", "HEAD^{tree}"]).await?;
    let no_commit =
        refusal(client::body(&[update(main, None, Some(files.trim()))?], SIDE_BAND, &pack)).await?;
    assert_eq!(no_commit, "what was pushed is no commit");
    let cut = refusal(client::body(&to_main, SIDE_BAND, &pack[..pack.len() - 30])).await?;
    assert_lines(&[cut], &["*early EOF*"]);
    let longer = SIDE_BAND.replace("sha1", "sha256");
    let sha_256 = refusal(client::body(&to_main, &longer, &pack)).await?;
    assert_eq!(sha_256, "the repository has SHA-256 ids, and Slipway understands only SHA-1 so far");
    let certificate = [
        client::packet(&format!("push-cert\0{SIDE_BAND}")),
        client::packet("certificate version 0.1\n"),
        client::packet("\n"),
        client::packet(&format!("{} {commit} {main}\n", "0".repeat(40))),
        client::packet("push-cert-end\n"),
        b"0000".to_vec(),
    ];
    let signed = refusal(certificate.concat()).await?;
    let expected =
        "Slipway cannot check a signed push: push without --signed; signed commits and tags are fine";
    assert_eq!(signed, expected);
    let signed = remote::push(&app, &["--signed"], &["main"]).await?;
    assert_eq!(signed.code, Some(1));
    assert!(signed.text.contains("the receiving end does not support --signed push"), "{}", signed.text);

    assert!(app::builds(&platform, &app.app).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn too_many_refs_are_refused_with_words() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let app = remote::create(&platform, "manyrefs", "static").await?;
    for n in 0..=100 {
        tree::git(&app.tree, &["tag", &format!("v{n}")]).await?;
    }
    let push = remote::push(&app, &["--tags"], &[]).await?;
    assert_eq!(push.code, Some(1), "{}", push.text);
    assert!(push.text.contains("the push updates more than 100 refs: push fewer at once"), "{}", push.text);
    let gone = platform.api(Method::GET, &format!("/apps/{}", app.app.name)).send().await?;
    assert_eq!(gone.status(), StatusCode::NOT_FOUND, "created by a push that was refused");
    Ok(())
}

#[tokio::test]
async fn refs_of_slipways_own_are_refused() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let app = remote::create(&platform, "ownrefs", "static").await?;
    let commit = tree::git(&app.tree, &["rev-parse", "HEAD"]).await?;
    let replaced = format!("refs/replace/{}", commit.trim());
    for name in [replaced.as_str(), "refs/pushes/0199/heads/main", "refs/notes/commits", "refs/for/main"] {
        let push = remote::push(&app, &[], &[&format!("HEAD:{name}")]).await?;
        let why = "only refs/heads/ and refs/tags/ can be pushed";
        let expected = format!(" ! [remote rejected] HEAD -> {name} ({why})");
        assert_eq!((push.code, push.of_ref(name)), (Some(1), Some(expected.as_str())), "{}", push.text);
    }
    Ok(())
}

#[tokio::test]
async fn requests_that_are_none_of_gits() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let app = remote::create(&platform, "requests", "static").await?;
    let name = app.app.name.as_str();
    platform
        .api(Method::POST, "/apps")
        .json(&serde_json::json!({"name": name}))
        .send()
        .await?
        .error_for_status()?;
    let request = |method, path| client::request(&platform, method, name, path);
    let post = |path, kind: &'static str| request(Method::POST, path).header("content-type", kind);
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..64 {
        bomb.write_all(&[0; 1 << 20])?;
    }
    let bomb = bomb.finish()?;
    let (push, fetch) = ("git-receive-pack", "git-upload-pack");
    let gzip = "content-encoding";
    let cases = [
        (post(push, "text/plain"), 415, "a push has content type application/x-git-receive-pack-request"),
        (post(push, UPLOAD_REQUEST), 415, "a push has content type application/x-git-receive-pack-request"),
        (post(fetch, RECEIVE_REQUEST), 415, "a fetch has content type application/x-git-upload-pack-request"),
        (
            post(push, RECEIVE_REQUEST).header(gzip, "gzip").body(bomb.clone()),
            415,
            "send the push as it is: a pack is compressed already",
        ),
        (
            post(fetch, UPLOAD_REQUEST).header(gzip, "gzip").body(bomb),
            413,
            "the request is too large; clone anew",
        ),
        (
            post(fetch, UPLOAD_REQUEST).header(gzip, "gzip").body("none"),
            400,
            "the request is no gzip although it says so",
        ),
        (post(fetch, UPLOAD_REQUEST).header(gzip, "br").body("none"), 415, "only gzip is understood"),
        (post(push, RECEIVE_REQUEST), 400, "the push ended before it had begun"),
        (
            post(push, RECEIVE_REQUEST).body("hello"),
            400,
            "a packet has to begin with its length in four hex digits, not with \"hell\"",
        ),
        (request(Method::GET, "info/refs"), 403, "only git's smart HTTP protocol is spoken here"),
    ];
    for (request, status, text) in cases {
        let answer = client::answer(request).await?;
        assert_eq!((answer.status, answer.text.trim_end()), (status, text));
    }
    let lfs = client::answer(request(Method::POST, "info/lfs/locks/verify").body("{}")).await?;
    let words = r#"{"message":"Slipway does not store Git LFS objects: commit the files themselves"}"#;
    assert_eq!((lfs.status, lfs.text.as_str()), (501, words));
    // What git sends before a large push.
    let probe = client::answer(post(push, RECEIVE_REQUEST).body("0000")).await?;
    assert_eq!((probe.status, probe.text.as_str()), (200, ""));
    assert!(app::builds(&platform, &app.app).await?.is_empty());
    Ok(())
}

//! What users do with git, done with Debian's git and with a newer one: each as docs/git-remote.md says.

use anyhow::{Context as _, Result};
use harness::platform::Platform;
use harness::remote::{Remote, Said};
use harness::tree::Tree;
use harness::words::assert_lines;
use harness::{app, platform, remote, tree};

const TABLE: [&str; 13] = [
    " !     Nothing of this push was done. What a push does here:",
    "       main, master, the default branch   built, runs in the environment main",
    "       any other branch                   built, runs in an environment of its own",
    "       a branch with -o env=NAME          built, runs in the environment NAME",
    "       a branch by force                  built like any other push",
    "       a branch deleted                   its environment is removed",
    "       main, master or default deleted    refused: a push does not remove main",
    "       several branches                   refused: one branch per push",
    "       a tag, alone or with a branch      kept, not built",
    "       a tag deleted                      deleted",
    "       any other ref                      refused: only branches and tags",
    "       a signed push                      refused: push without --signed",
    "       a SHA-256 repository               refused: only SHA-1 is understood",
];

#[tokio::test]
async fn debians_git() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    everything(&platform, "git").await
}

#[tokio::test]
async fn a_newer_git() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let version = async |git| {
        let output =
            tokio::process::Command::new(git).arg("--version").output().await.context("running git")?;
        anyhow::Ok(String::from_utf8(output.stdout)?)
    };
    let (debians, newer) = (version("git").await?, version(platform.newer_git.as_str()).await?);
    assert_ne!(debians, newer);
    everything(&platform, &platform.newer_git).await
}

async fn everything(platform: &Platform, git: &str) -> Result<()> {
    let mut app = remote::create(platform, "client", "static").await?;
    git.clone_into(&mut app.tree.git);
    let url = format!("       {}", remote::serves_at(platform, &app, "main"));
    let push = remote::push(&app, &[], &["main"]).await?;
    assert_eq!((push.code, push.remote.last()), (Some(0), Some(&url)), "{}", push.text);

    large_and_quiet(&app, &url).await?;
    shallow(&app, &url).await?;
    by_force(&app, &url).await?;
    tags(&app).await?;
    branches(&app).await?;
    options(platform, &app).await?;
    remote::put_away(platform, &app).await
}

/// More than `http.postBuffer`: git asks first whether it may, then sends in chunks.
async fn large_and_quiet(app: &Remote, url: &str) -> Result<()> {
    std::fs::write(app.tree.path.join("large"), noise(3 << 20))?;
    remote::commit(&app.tree, "Grow").await?;
    let trace = tempfile::NamedTempFile::new()?;
    let output = tree::command(&app.tree, &app.tree.git, &["push", "-q", "slipway", "main"])
        .env("GIT_TRACE_CURL", trace.path())
        .env("GIT_TRACE_CURL_NO_DATA", "1")
        .output()
        .await?;
    let push = remote::said(&output);
    assert_eq!((push.code, push.remote.as_slice()), (Some(0), &[url.to_owned()][..]), "{}", push.text);
    let trace = std::fs::read_to_string(trace.path())?.to_ascii_lowercase();
    for header in ["send header: content-length: 4\n", "send header: transfer-encoding: chunked\n"] {
        assert!(trace.contains(header), "no {header:?}");
    }
    let again = remote::push_quietly(app, &[], &["main"]).await?;
    assert_eq!((again.code, again.text.as_str()), (Some(0), ""));
    Ok(())
}

/// Bytes that no compression makes fewer.
fn noise(length: usize) -> Vec<u8> {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

/// As continuous integration clones.
async fn shallow(app: &Remote, url: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut clone = Tree { path: folder.path().join("shallow"), ..app.tree.clone() };
    std::fs::create_dir(&clone.path)?;
    let cloned = remote::run(&clone, &["clone", "--quiet", "--depth=1", &app.url, "."]).await?;
    assert_eq!((cloned.code, cloned.text.as_str()), (Some(0), ""));
    assert_eq!(tree::git(&clone, &["rev-list", "--count", "HEAD"]).await?.trim(), "1");
    clone.config.push(("push.default".to_owned(), "current".to_owned()));
    let commit = remote::commit(&clone, "From a shallow clone").await?;
    // There is no terminal, so git asks the remote to be quiet although nobody said -q.
    let push = remote::run(&clone, &["push", "origin"]).await?;
    assert_eq!((push.code, push.remote.as_slice()), (Some(0), &[url.to_owned()][..]), "{}", push.text);
    // The whole history is still to be had.
    tree::git(&app.tree, &["pull", "--quiet", "--ff-only", "slipway", "main"]).await?;
    assert_eq!(tree::git(&app.tree, &["rev-parse", "HEAD"]).await?.trim(), commit);
    assert_eq!(tree::git(&app.tree, &["rev-list", "--count", "HEAD"]).await?.trim(), "3");
    Ok(())
}

async fn by_force(app: &Remote, url: &str) -> Result<()> {
    tree::git(&app.tree, &["reset", "--quiet", "--hard", "HEAD~2"]).await?;
    let commit = remote::commit(&app.tree, "Another way").await?;
    let refused = remote::push(app, &[], &["main"]).await?;
    let why = " ! [rejected]        main -> main (non-fast-forward)";
    assert_eq!((refused.code, refused.of_ref("main")), (Some(1), Some(why)), "{}", refused.text);
    let push = remote::push_quietly(app, &["--force"], &["main"]).await?;
    assert_eq!((push.code, push.remote.as_slice()), (Some(0), &[url.to_owned()][..]), "{}", push.text);
    let listed = tree::git(&app.tree, &["ls-remote", "slipway"]).await?;
    assert_eq!(listed, format!("{commit}\tHEAD\n{commit}\trefs/heads/main\n"));
    Ok(())
}

async fn tags(app: &Remote) -> Result<()> {
    tree::git(&app.tree, &["tag", "--annotate", "--message=One", "v1"]).await?;
    let tag = remote::push(app, &[], &["v1"]).await?;
    assert_eq!(tag.code, Some(0), "{}", tag.text);
    assert_lines(&tag.remote, &["-----> refs/tags/v1 is kept; tags are not built"]);
    let listed = tree::git(&app.tree, &["ls-remote", "--tags", "--refs", "slipway"]).await?;
    assert!(listed.ends_with("\trefs/tags/v1\n") && listed.lines().count() == 1, "{listed}");
    let deleted = remote::push(app, &[], &[":v1"]).await?;
    assert_eq!(deleted.code, Some(0), "{}", deleted.text);
    assert_eq!(tree::git(&app.tree, &["ls-remote", "--tags", "slipway"]).await?, "");
    Ok(())
}

async fn branches(app: &Remote) -> Result<()> {
    let two = remote::push(app, &[], &["main:one", "main:two"]).await?;
    assert_eq!(two.code, Some(1), "{}", two.text);
    assert_lines(&two.remote, &TABLE);
    let why = "one branch per push: push this one by itself";
    for branch in ["one", "two"] {
        let expected = format!(" ! [remote rejected] main -> {branch} ({why})");
        assert_eq!(two.of_ref(branch), Some(expected.as_str()));
    }
    let atomic = remote::push(app, &["--atomic"], &["main:one", "main:two"]).await?;
    assert_eq!(atomic.code, Some(1), "{}", atomic.text);
    assert!(atomic.text.contains("the receiving end does not support --atomic push"), "{}", atomic.text);

    // A branch beside a tag: one is built, the other kept.
    tree::git(&app.tree, &["commit", "--quiet", "--allow-empty", "--message", "Release"]).await?;
    tree::git(&app.tree, &["tag", "v2"]).await?;
    let both = remote::push(app, &["-o", "wait=queued"], &["main:feature", "v2"]).await?;
    assert_eq!(both.code, Some(0), "{}", both.text);
    let expected = [
        "-----> refs/tags/v2 is kept; tags are not built",
        "-----> * build #* of * (branch feature, environment feature)",
        "...",
        // What of it goes on: a build whose input is known has ended before anybody could look.
        "-----> * goes on by itself",
        "       to see it: slipway logs * -f, or http*",
    ];
    assert_lines(&both.remote, &expected);
    Ok(())
}

async fn options(platform: &Platform, app: &Remote) -> Result<()> {
    // The build of the branch is there already: this waits for its end.
    let push = remote::push(app, &[], &["main:feature"]).await?;
    assert_eq!(push.code, Some(0), "{}", push.text);
    let deletion = remote::push_quietly(app, &[], &[":feature"]).await?;
    assert_eq!(deletion.code, Some(0), "{}", deletion.text);

    let before = app::builds(platform, &app.app).await?.len();
    let refused: Said = remote::push(app, &["-o", "ci.skip", "-o", "no-cache"], &["main"]).await?;
    let why = " ! [remote rejected] main -> main (unknown push option `ci.skip`; those that exist are env=NAME, \
               no-cache, wait=live|built|queued, ttl=TIME, supersede)";
    assert_eq!((refused.code, refused.of_ref("main")), (Some(1), Some(why)), "{}", refused.text);
    assert_eq!(app::builds(platform, &app.app).await?.len(), before);
    Ok(())
}

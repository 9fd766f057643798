//! Applications that are pushed to Slipway's own remote by a real git, and what that git says of a push.

use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

use crate::app::{self, TestApp};
use crate::platform::{self, Platform};
use crate::tree::{self, Tree};

pub const PATIENCE: Duration = Duration::from_secs(240);
/// What Slipway's remote is called in a work tree.
const NAME: &str = "slipway";
/// What is not git's own in what it writes, or is its progress.
const FOREIGN: [&str; 7] = [
    "remote:",
    "Enumerating objects:",
    "Counting objects:",
    "Delta compression ",
    "Compressing objects:",
    "Writing objects:",
    "Total ",
];

/// An application and the work tree that is pushed to it. Its first push creates it.
#[derive(Debug)]
pub struct Remote {
    pub app: TestApp,
    pub tree: Tree,
    /// Of its repository.
    pub url: String,
}

/// What git said, and how it ended.
#[derive(Debug, Clone)]
pub struct Said {
    /// `None`: by a signal.
    pub code: Option<i32>,
    /// What came after `remote: `.
    pub remote: Vec<String>,
    /// All of it.
    pub text: String,
}

/// A git that was started.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    read: String,
}

/// A work tree that holds `source`, committed; pushes with the administrator's token.
pub async fn create(platform: &Platform, prefix: &str, source: &str) -> Result<Remote> {
    let app = TestApp { name: app::new_name(prefix), hook: None, tree: tempfile::tempdir()? };
    let url = url(platform, &app.name);
    let mut tree = tree::create(app.tree.path(), "Test").await?;
    log_in(&mut tree, &platform.admin_token);
    tree::git(&tree, &["remote", "add", NAME, &url]).await?;
    app::replace_source(&app, source).await?;
    commit(&tree, "First").await?;
    Ok(Remote { app, tree, url })
}

/// Where an application is pushed to.
pub fn url(platform: &Platform, app: &str) -> String {
    format!("{}/{app}.git", platform.url)
}

/// Sets a build secret or argument: `kind` is `secrets` or `args`, `name` may say for which environment.
pub async fn put(platform: &Platform, remote: &Remote, kind: &str, name: &str, value: &str) -> Result<()> {
    let path = format!("/apps/{}/{kind}/{name}", remote.app.name);
    platform.api(Method::PUT, &path).body(value.to_owned()).send().await?.error_for_status()?;
    Ok(())
}

/// Its git asks for a password as a user's does: when it is told that one is needed.
pub fn log_in(tree: &mut Tree, token: &str) {
    let helper = format!("!f() {{ echo username=git; echo password={token}; }}; f");
    tree.config.retain(|(key, _)| key != "credential.helper");
    tree.config.push(("credential.helper".to_owned(), helper));
}

/// Commits everything and answers the commit's id.
pub async fn commit(tree: &Tree, message: &str) -> Result<String> {
    tree::git(tree, &["add", "--all"]).await?;
    tree::git(tree, &["commit", "--quiet", "--allow-empty", "--message", message]).await?;
    Ok(tree::git(tree, &["rev-parse", "HEAD"]).await?.trim().to_owned())
}

/// Makes the build have a step of its own that runs `script`: a step that another application has too would be cached.
pub fn add_step(remote: &Remote, script: &str) -> Result<()> {
    let step = format!("RUN : {}; {script}\nCMD", remote.app.name);
    app::edit(&remote.app, "Dockerfile", "CMD", &step)
}

/// `git push` as in a terminal: where there is none, git asks the remote to be quiet.
pub async fn push(remote: &Remote, options: &[&str], refs: &[&str]) -> Result<Said> {
    run(&remote.tree, &[&["push", "--progress"], options, &[NAME], refs].concat()).await
}

/// `git push -q`.
pub async fn push_quietly(remote: &Remote, options: &[&str], refs: &[&str]) -> Result<Said> {
    run(&remote.tree, &[&["push", "-q"], options, &[NAME], refs].concat()).await
}

/// [`push`] without waiting for its end.
pub fn start_push(remote: &Remote, options: &[&str], refs: &[&str]) -> Result<Running> {
    start(&remote.tree, &[&["push", "--progress"], options, &[NAME], refs].concat())
}

pub async fn run(tree: &Tree, arguments: &[&str]) -> Result<Said> {
    let output = tree::bounded(tree, arguments, PATIENCE).await?;
    Ok(said(&output))
}

pub fn said(output: &Output) -> Said {
    listen(output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn listen(code: Option<i32>, text: String) -> Said {
    let remote = text.lines().filter_map(|line| line.strip_prefix("remote: "));
    let remote = remote.map(|line| line.trim_end().to_owned()).collect();
    Said { code, remote, text }
}

impl Said {
    /// The line in which git tells what became of a ref.
    pub fn of_ref(&self, name: &str) -> Option<&str> {
        let names = |line: &&str| line.starts_with(" ! ") && line.contains(&format!(" {name} ("));
        self.text.lines().find(names)
    }

    /// Git's own words: neither those of the remote nor how far it has come.
    pub fn own(&self) -> Vec<&str> {
        let is_own = |line: &&str| !FOREIGN.iter().any(|start| line.starts_with(start));
        self.text.lines().filter(is_own).collect()
    }
}

/// In a process group of its own, as a shell starts it, and with Ctrl-C not ignored, however the tests were started.
pub fn start(tree: &Tree, arguments: &[&str]) -> Result<Running> {
    let arguments = [&["--default-signal=INT", &tree.git], arguments].concat();
    let mut command: Command = tree::command(tree, "env", &arguments);
    let mut child = command
        .process_group(0)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting git")?;
    let stderr = child.stderr.take().context("no standard error")?;
    Ok(Running { child, lines: BufReader::new(stderr).lines(), read: String::new() })
}

/// Reads until a line contains `text`.
pub async fn says(running: &mut Running, text: &str) -> Result<()> {
    let reading = async {
        while let Some(line) = running.lines.next_line().await? {
            running.read.push_str(&line);
            running.read.push('\n');
            if line.contains(text) {
                return Ok(());
            }
        }
        bail!("git ended and never said {text:?}")
    };
    let read = timeout(PATIENCE, reading).await.context("git says no more").and_then(|read| read);
    read.with_context(|| format!("waiting for {text:?} in:\n{}", running.read))
}

/// A signal to git and all that it started: Ctrl-C is `INT`.
pub async fn signal(running: &Running, signal: &str) -> Result<()> {
    let group = running.child.id().context("git has ended")?;
    let sent = Command::new("kill").args(["-s", signal, "--", &format!("-{group}")]).status().await?;
    anyhow::ensure!(sent.success(), "sending {signal}");
    Ok(())
}

pub async fn end(running: Running) -> Result<Said> {
    end_within(running, PATIENCE).await
}

pub async fn end_within(mut running: Running, at_most: Duration) -> Result<Said> {
    let ending = async {
        while let Some(line) = running.lines.next_line().await? {
            running.read.push_str(&line);
            running.read.push('\n');
        }
        anyhow::Ok(running.child.wait().await?)
    };
    let status = timeout(at_most, ending).await.context("git does not end")??;
    Ok(listen(status.code(), running.read))
}

/// Where an environment answers, as a push says it.
pub fn serves_at(platform: &Platform, remote: &Remote, env: &str) -> String {
    format!("http://{env}--{}.{}/", remote.app.name, platform.base_domain())
}

/// Makes a token and answers its secret.
pub async fn token(platform: &Platform, name: &str, scope: &str, app: &str) -> Result<String> {
    let body = json!({"name": name, "scope": scope, "app": app});
    let created = platform::json(platform.api(Method::POST, "/tokens").json(&body).send().await?).await?;
    Ok(created["secret"].as_str().context("a secret")?.to_owned())
}

/// Leaves the machine to the tests that follow. Nobody waits for it.
pub async fn put_away(platform: &Platform, remote: &Remote) -> Result<()> {
    let environments = platform.get(&format!("/apps/{}/environments", remote.app.name)).await?;
    for environment in environments["environments"].as_array().into_iter().flatten() {
        let name = environment["name"].as_str().unwrap_or_default();
        let path = format!("/apps/{}/environments/{name}", remote.app.name);
        platform.api(Method::DELETE, &path).send().await?.error_for_status()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_says() {
        let text = "remote: -----> Building        \nremote:   \nTo http://x/a.git\n ! [remote rejected] main -> main (no)\n";
        let said = listen(Some(1), text.to_owned());
        assert_eq!(said.remote, ["-----> Building", ""]);
        assert_eq!(said.of_ref("main"), Some(" ! [remote rejected] main -> main (no)"));
        assert_eq!(said.of_ref("mai"), None);
        assert_eq!(said.own(), ["To http://x/a.git", " ! [remote rejected] main -> main (no)"]);
    }
}

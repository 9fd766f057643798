//! A work tree whose git knows nothing of this machine's configuration, and who pushes from it.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

#[derive(Debug, Clone)]
pub struct Tree {
    pub path: PathBuf,
    /// The program: users have different versions.
    pub git: String,
    /// Settings of every command: who commits, and the header that says who pushes.
    pub config: Vec<(String, String)>,
}

/// An empty one, on the branch `main`.
pub async fn create(path: &Path, author: &str) -> Result<Tree> {
    let config = [("user.name", author), ("user.email", "test@example.com"), ("init.defaultBranch", "main")];
    let config = config.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    let tree = Tree { path: path.to_owned(), git: "git".to_owned(), config };
    std::fs::create_dir_all(path)?;
    git(&tree, &["init", "--quiet"]).await?;
    Ok(tree)
}

/// From now on every request to a server carries this.
pub fn set_header(tree: &mut Tree, header: String) {
    tree.config.push(("http.extraHeader".to_owned(), header));
}

/// Fails when git does; answers what it wrote.
pub async fn git(tree: &Tree, arguments: &[&str]) -> Result<String> {
    let output = command(tree, &tree.git, arguments).output().await.context("running git")?;
    ensure!(
        output.status.success(),
        "git {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// As git ends, which is with status 124 after `at_most`: then none of its children is left either.
pub async fn bounded(tree: &Tree, arguments: &[&str], at_most: Duration) -> Result<Output> {
    let seconds = at_most.as_secs().to_string();
    let arguments = [&["--kill-after=5", &seconds, &tree.git], arguments].concat();
    command(tree, "timeout", &arguments).output().await.context("running git")
}

/// Commits everything and answers the commit's id. `second` is its time: the same history always has the same ids.
pub async fn commit(tree: &Tree, message: &str, second: u64) -> Result<String> {
    git(tree, &["add", "--all"]).await?;
    let date = format!("@{} +0000", 1_700_000_000 + second);
    let output = command(tree, &tree.git, &["commit", "--quiet", "--allow-empty", "--message", message])
        .env("GIT_AUTHOR_DATE", &date)
        .env("GIT_COMMITTER_DATE", &date)
        .output()
        .await?;
    ensure!(output.status.success(), "git commit: {}", String::from_utf8_lossy(&output.stderr));
    Ok(git(tree, &["rev-parse", "HEAD"]).await?.trim().to_owned())
}

/// A program in this tree, which may start its git.
pub fn command(tree: &Tree, program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(&tree.path).stdin(Stdio::null()).kill_on_drop(true);
    command
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0");
    command.env("LC_ALL", "C").env("GIT_CONFIG_COUNT", tree.config.len().to_string());
    for (n, (key, value)) in tree.config.iter().enumerate() {
        command.env(format!("GIT_CONFIG_KEY_{n}"), key).env(format!("GIT_CONFIG_VALUE_{n}"), value);
    }
    command
}

//! `slipway git`: a repository's remote at Slipway, and the login for it.

mod credential;

use std::io::{Read as _, Write};
use std::path::absolute;
use std::process::{Command, Output};

use anyhow::{Context as _, Result, bail};

use crate::args::{Args, Git, SetUp};
use crate::{client, config};

/// What git sends as the user. Slipway knows who it is by the token, which is the password.
const USER: &str = "slipway";
/// Git says less than this about what it is to log in to.
const INPUT_MAX: u64 = 64 * 1024;

pub(crate) fn run(args: &Args, command: &Git, out: &mut dyn Write) -> Result<()> {
    match command {
        Git::Setup(wanted) => set_up(args, wanted, out),
        Git::Credential { operation } => {
            let mut asked = String::new();
            std::io::stdin().take(INPUT_MAX).read_to_string(&mut asked).context("reading what git asks")?;
            credential::answer(args, operation, &asked, out)
        }
    }
}

/// Adds or mends the remote, and makes git ask this command for the login to it, whatever else it asks elsewhere.
fn set_up(args: &Args, wanted: &SetUp, out: &mut dyn Write) -> Result<()> {
    let login = config::login(args)?;
    let app = &wanted.app;
    domain::name::check_app(app).with_context(|| format!("{app:?} is no application's name"))?;
    let url = format!("{}/{app}.git", client::parse(&login.url)?.as_str().trim_end_matches('/'));
    let inside = git(&["rev-parse", "--git-dir"])?;
    if !inside.status.success() {
        bail!(
            "go into the application's repository first, or make one with `git init`: {}",
            last_words(&inside)
        );
    }
    let remote = wanted.remote.as_str();
    let known = git(&["remote", "get-url", "--", remote])?;
    let former = String::from_utf8_lossy(&known.stdout).trim().to_owned();
    match (known.status.success(), former == url) {
        (true, true) => writeln!(out, "The remote {remote} is {url} already.")?,
        (true, false) => {
            done(&["remote", "set-url", "--", remote, &url])?;
            writeln!(out, "The remote {remote} is {url} now; it was {former}.")?;
        }
        (false, _) => {
            done(&["remote", "add", "--", remote, &url])?;
            writeln!(out, "The remote {remote} is {url}.")?;
        }
    }
    let (helper, user) = (format!("credential.{url}.helper"), format!("credential.{url}.username"));
    // An empty one forgets those that git would ask first and that would keep the token too.
    done(&["config", "--local", "--replace-all", &helper, ""])?;
    done(&["config", "--local", "--add", &helper, &helper_command(args)?])?;
    done(&["config", "--local", &user, USER])?;
    writeln!(out, "Git logs in to it as `slipway login` did.")?;
    let branch = git(&["symbolic-ref", "--short", "HEAD"])?;
    let branch = String::from_utf8_lossy(&branch.stdout).trim().to_owned();
    let branch = if branch.is_empty() { "main" } else { &branch };
    writeln!(out, "\nNow push: git push {remote} {branch}")?;
    Ok(())
}

/// A shell runs it from any folder, without the arguments of this call.
fn helper_command(args: &Args) -> Result<String> {
    let Some(config) = &args.config else { return Ok("!slipway git credential".to_owned()) };
    let config = absolute(config).with_context(|| format!("finding {}", config.display()))?;
    let config =
        config.to_str().context("the path of --config is not UTF-8, which git's configuration needs")?;
    Ok(format!("!slipway --config '{}' git credential", config.replace('\'', r"'\''")))
}

fn git(arguments: &[&str]) -> Result<Output> {
    Command::new("git").args(arguments).output().context("running git: is it installed and in PATH?")
}

fn done(arguments: &[&str]) -> Result<()> {
    let output = git(arguments)?;
    if !output.status.success() {
        bail!("git {}: {}", arguments.join(" "), last_words(&output));
    }
    Ok(())
}

fn last_words(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    text.trim().lines().last().unwrap_or("git said nothing").to_owned()
}

//! Gitea on the node: a forge to push to, which sends webhooks. One administrator, known to everybody who reads this.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use serde_json::json;

use super::node::as_user;
use super::parts::deploy_file;
use super::{IP, process, values};
use crate::http::Request;
use crate::layout::Layout;
use crate::{command, secret, template};

pub(crate) const UNIX_USER: &str = "slipway-forge";
pub(crate) const USER: &str = "slip";
pub(crate) const PASSWORD: &str = "slipslip1";
pub(crate) const CONFIG: &str = deploy_file!("node/gitea.ini");

/// Where it is reached from the node and from pods.
pub(crate) fn url() -> String {
    format!("http://{IP}:3000")
}

pub(crate) fn env(layout: &Layout) -> Vec<(&'static str, String)> {
    let home = layout.data.join("gitea").display().to_string();
    vec![("HOME", home.clone()), ("GITEA_WORK_DIR", home)]
}

/// Whether it was ever started on this data.
pub(crate) fn is_known(layout: &Layout) -> bool {
    layout.data.join("gitea").is_dir()
}

/// Makes its user and its data folder.
pub(crate) fn prepare(layout: &Layout) -> anyhow::Result<()> {
    if !command::succeeds(Command::new("id").arg(UNIX_USER)) {
        let add = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent", UNIX_USER];
        command::output(Command::new("useradd").args(add))?;
    }
    let place = layout.data.join("gitea");
    fs::create_dir_all(&place)?;
    // Gitea keeps secrets of its own in this file: it is made anew only when our part of it changes.
    let text = template::render(CONFIG, &values(layout))?;
    let made_from = place.join("made-from.ini");
    if fs::read_to_string(&made_from).is_ok_and(|former| former == text) {
        return Ok(());
    }
    process::stop(layout, "gitea", "TERM")?;
    fs::write(place.join("app.ini"), &text)?;
    own(&place)?;
    command::run(gitea(layout).arg("migrate"), &layout.log("gitea-migrate"))?;
    fs::write(&made_from, text).with_context(|| format!("cannot write {}", made_from.display()))
}

/// Makes the administrator and the token that Slipway and tests use.
pub(crate) fn set_up(layout: &Layout) -> anyhow::Result<()> {
    let users = command::output(gitea(layout).args(["admin", "user", "list"]))?;
    if !users.lines().any(|line| line.split_whitespace().nth(1) == Some(USER)) {
        let create =
            ["admin", "user", "create", "--admin", "--must-change-password=false", "--username", USER];
        let identity = ["--password", PASSWORD, "--email", "slip@example.com"];
        command::output(gitea(layout).args(create).args(identity))?;
    }
    token(layout).map(drop)
}

/// The administrator's API token. Gitea shows a token once, so one whose file was lost is replaced.
pub(crate) fn token(layout: &Layout) -> anyhow::Result<String> {
    let path = layout.secret("forge-token");
    if let Some(token) = secret::read(&path)? {
        return Ok(token);
    }
    const NAME: &str = "slipway";
    let tokens = format!("{}/api/v1/users/{USER}/tokens", url());
    let deleted = Request::new("DELETE", &format!("{tokens}/{NAME}")).user(USER, PASSWORD).send()?;
    anyhow::ensure!(
        [204, 404].contains(&deleted.status),
        "Gitea refuses to replace a token: {}",
        deleted.body
    );
    let made =
        Request::new("POST", &tokens).user(USER, PASSWORD).json(&json!({"name": NAME, "scopes": ["all"]}));
    let made = made.send()?.json()?;
    let token = made["sha1"].as_str().context("Gitea made a token without a value")?;
    secret::write(&path, token)?;
    Ok(token.to_owned())
}

/// Removes its user.
pub(crate) fn remove_user() -> anyhow::Result<()> {
    if command::succeeds(Command::new("id").arg(UNIX_USER)) {
        command::output(Command::new("userdel").arg(UNIX_USER))?;
    }
    Ok(())
}

fn gitea(layout: &Layout) -> Command {
    let mut gitea = as_user(UNIX_USER);
    gitea.arg(layout.bin("gitea")).arg("--config").arg(layout.data.join("gitea/app.ini"));
    gitea.envs(env(layout)).current_dir("/");
    gitea
}

fn own(folder: &Path) -> anyhow::Result<()> {
    command::output(Command::new("chown").args(["-R", &format!("{UNIX_USER}:{UNIX_USER}")]).arg(folder))
        .map(drop)
}

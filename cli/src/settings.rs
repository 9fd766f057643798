//! `slipway secrets` and `slipway args`: what an application's builds are given. A secret's value is in no argument list.

use std::io::{IsTerminal as _, Read as _, Write};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::Value;

use crate::args::{Arguments, Secrets, SetSecret};
use crate::client::{Server, segment};
use crate::show::{self, Cell, ago, array, text};

pub(crate) async fn secrets(
    server: &Server,
    command: &Secrets,
    as_json: bool,
    out: &mut dyn Write,
) -> Result<()> {
    match command {
        Secrets::Set(SetSecret { app, name, env, file }) => {
            let value = match file {
                Some(file) => std::fs::read(file).with_context(|| format!("reading {}", file.display()))?,
                None => from_input(name)?,
            };
            set(server, &path(app, "secrets", name, env.as_deref()), value).await?;
            said(as_json, out, &format!("{name} of {app} was set. Builds that begin from now on get it."))
        }
        Secrets::List { app } => {
            let answer = server.get(&format!("/apps/{}/secrets", segment(app))).await?;
            if as_json { Ok(writeln!(out, "{answer:#}")?) } else { list_secrets(out, &answer, app) }
        }
        Secrets::Unset { app, name, env } => {
            server.send(server.request(Method::DELETE, &path(app, "secrets", name, env.as_deref()))).await?;
            said(as_json, out, &format!("{name} of {app} was unset."))
        }
    }
}

pub(crate) async fn args(
    server: &Server,
    command: &Arguments,
    as_json: bool,
    out: &mut dyn Write,
) -> Result<()> {
    match command {
        Arguments::Set { app, name, value, env } => {
            set(server, &path(app, "args", name, env.as_deref()), value.clone().into_bytes()).await?;
            said(as_json, out, &format!("{name} of {app} was set. Builds that begin from now on get it."))
        }
        Arguments::List { app } => {
            let answer = server.get(&format!("/apps/{}/args", segment(app))).await?;
            if as_json { Ok(writeln!(out, "{answer:#}")?) } else { list_args(out, &answer, app) }
        }
        Arguments::Unset { app, name, env } => {
            server.send(server.request(Method::DELETE, &path(app, "args", name, env.as_deref()))).await?;
            said(as_json, out, &format!("{name} of {app} was unset."))
        }
    }
}

fn path(app: &str, kind: &str, name: &str, env: Option<&str>) -> String {
    let env = env.map(|env| format!("?env={}", segment(env))).unwrap_or_default();
    format!("/apps/{}/{kind}/{}{env}", segment(app), segment(name))
}

async fn set(server: &Server, path: &str, value: Vec<u8>) -> Result<()> {
    server.send(server.request(Method::PUT, path).body(value)).await.map(drop)
}

/// The API answers nothing.
fn said(as_json: bool, out: &mut dyn Write, text: &str) -> Result<()> {
    if as_json { Ok(()) } else { Ok(writeln!(out, "{text}")?) }
}

/// A terminal is asked and shows nothing. The line feed that `echo` ends with is not part of the value.
fn from_input(name: &str) -> Result<Vec<u8>> {
    if std::io::stdin().is_terminal() {
        let typed = rpassword::prompt_password(format!("Value of {name}: "));
        return Ok(typed.context("reading from the terminal")?.into_bytes());
    }
    let mut value = Vec::new();
    std::io::stdin().read_to_end(&mut value).context("reading from standard input")?;
    if value.ends_with(b"\n") {
        value.pop();
    }
    Ok(value)
}

fn list_secrets(out: &mut dyn Write, answer: &Value, app: &str) -> Result<()> {
    let now = Timestamp::now();
    let row = |it: &Value| [text(&it["name"]), environment(it), text(&it["set_by"]), ago(&it["set_at"], now)];
    let rows = rows(&answer["secrets"], row);
    if rows.is_empty() {
        writeln!(out, "No build secret: `slipway secrets set {app} NAME` sets one")?;
        return Ok(());
    }
    show::table(out, &["name", "environment", "set by", "set"], &rows)
}

fn list_args(out: &mut dyn Write, answer: &Value, app: &str) -> Result<()> {
    let now = Timestamp::now();
    let row = |it: &Value| {
        let (by, at) = (text(&it["set_by"]), ago(&it["set_at"], now));
        [text(&it["name"]), environment(it), by, at, text(&it["value"])]
    };
    let rows = rows(&answer["args"], row);
    if rows.is_empty() {
        writeln!(out, "No build argument: `slipway args set {app} NAME VALUE` sets one")?;
        return Ok(());
    }
    show::table(out, &["name", "environment", "set by", "set", "value"], &rows)
}

fn rows<const N: usize>(settings: &Value, row: impl Fn(&Value) -> [String; N]) -> Vec<Vec<Cell>> {
    array(settings).iter().map(|it| row(it).into_iter().map(Cell::from).collect()).collect()
}

fn environment(setting: &Value) -> String {
    setting["environment"].as_str().unwrap_or("all").to_owned()
}

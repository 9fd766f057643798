//! `slipway tokens`: create, list, revoke.

use std::io::Write;

use anyhow::Result;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use crate::args::{CreateToken, Tokens};
use crate::client::{Server, segment};
use crate::show::{self, Cell, ago, array, text};

pub(crate) async fn run(server: &Server, command: &Tokens, as_json: bool, out: &mut dyn Write) -> Result<()> {
    let answer = match command {
        Tokens::Create(wanted) => create(server, wanted).await?,
        Tokens::List => server.get("/tokens").await?,
        Tokens::Revoke { revoked } => {
            let path = format!("/tokens/{}", segment(revoked));
            server.send(server.request(Method::DELETE, &path)).await?;
            // The API answers nothing.
            return if as_json { Ok(()) } else { Ok(writeln!(out, "{revoked} was revoked.")?) };
        }
    };
    match command {
        _ if as_json => Ok(writeln!(out, "{answer:#}")?),
        Tokens::Create(_) => created(server, out, &answer),
        Tokens::List | Tokens::Revoke { .. } => list(out, &answer),
    }
}

async fn create(server: &Server, wanted: &CreateToken) -> Result<Value> {
    let body = json!({
        "name": wanted.name,
        "scope": wanted.scope.word(),
        "app": wanted.app.as_deref().unwrap_or_default(),
        "expires": wanted.expires.as_deref().unwrap_or_default(),
    });
    server.json(server.request(Method::POST, "/tokens").json(&body)).await
}

fn created(server: &Server, out: &mut dyn Write, answer: &Value) -> Result<()> {
    let token = &answer["token"];
    let (name, scope, until) = (text(&token["name"]), text(&token["scope"]), expires(token));
    writeln!(out, "{name} was created: {scope} on {}, expires {until}. It is shown only now:", app(token))?;
    writeln!(out, "\n  {}", text(&answer["secret"]))?;
    writeln!(
        out,
        "\nGit takes it as the password, with any user; `slipway login {}` asks for it.",
        server.url()
    )?;
    Ok(())
}

fn app(token: &Value) -> String {
    token["app"].as_str().unwrap_or("all applications").to_owned()
}

/// The day, or that there is none.
fn expires(token: &Value) -> String {
    match token["expires_at"].as_str() {
        _ if token["is_expired"] == true => "expired".to_owned(),
        Some(at) => at.split('T').next().unwrap_or(at).to_owned(),
        None => "never".to_owned(),
    }
}

fn list(out: &mut dyn Write, answer: &Value) -> Result<()> {
    let now = Timestamp::now();
    let row = |token: &Value| -> Vec<Cell> {
        let last = &token["last_used_at"];
        let last = if last.is_null() { "never".to_owned() } else { ago(last, now) };
        let cells = [
            text(&token["name"]),
            text(&token["scope"]),
            app(token),
            ago(&token["created_at"], now),
            expires(token),
            last,
            text(&token["id"]),
        ];
        cells.into_iter().map(Cell::from).collect()
    };
    let rows: Vec<_> = array(&answer["tokens"]).iter().map(row).collect();
    show::table(out, &["name", "scope", "application", "created", "expires", "last used", "id"], &rows)
}

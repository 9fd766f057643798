//! `slipway login`: asks the server whether it knows the token, and remembers both. And how secrets are read.

use std::io::{IsTerminal as _, Read as _, Write};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::args::{Args, Login};
use crate::config::Saved;
use crate::show::text;
use crate::{client, config};

pub(crate) async fn login(login: &Login, args: &Args, out: &mut dyn Write) -> Result<()> {
    let token = match (&args.token, &login.token_file) {
        (Some(token), _) => token.clone(),
        (None, Some(file)) if file != Path::new("-") => from_file(file)?,
        (None, _) => from_input("Token")?,
    };
    let server = client::server(&login.server, token.clone())?;
    let whoami = server.get("/whoami").await?;
    let path = config::save(args, &Saved { url: server.url().to_owned(), token })?;
    let app = whoami["app"].as_str().map(|app| format!(" for {app}")).unwrap_or_default();
    let (name, scope) = (text(&whoami["name"]), text(&whoami["scope"]));
    writeln!(out, "Logged in to {} as {name} ({scope}{app}); kept in {}", server.url(), path.display())?;
    Ok(())
}

pub(crate) fn from_file(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    not_empty(&text, &path.display().to_string())
}

/// From standard input; a terminal is asked and shows nothing.
pub(crate) fn from_input(what: &str) -> Result<String> {
    if std::io::stdin().is_terminal() {
        let text = rpassword::prompt_password(format!("{what}: ")).context("reading from the terminal")?;
        return not_empty(&text, what);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    not_empty(&text, "standard input")
}

fn not_empty(text: &str, from: &str) -> Result<String> {
    let text = text.trim();
    ensure!(!text.is_empty(), "{from} is empty");
    Ok(text.to_owned())
}

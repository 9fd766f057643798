//! The login as it is kept between commands, readable by its user alone.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::args::Args;
use crate::client::{self, Server};

#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Saved {
    pub(crate) url: String,
    pub(crate) token: String,
}

fn path(args: &Args) -> Result<PathBuf> {
    if let Some(path) = &args.config {
        return Ok(path.clone());
    }
    let home = std::env::home_dir().context("no home directory is known: give --config FILE")?;
    Ok(home.join(".config/slipway/config.json"))
}

fn read(args: &Args) -> Result<Option<Saved>> {
    let path = path(args)?;
    match fs::read(&path) {
        Ok(text) => {
            let saved = serde_json::from_slice(&text);
            Ok(Some(saved.with_context(|| format!("{} is damaged: log in again", path.display()))?))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

/// Writes beside it and moves it there, so that the mode holds and an interrupted login leaves the old one.
pub(crate) fn save(args: &Args, saved: &Saved) -> Result<PathBuf> {
    let path = path(args)?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    let new = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .with_context(|| format!("writing {}", new.display()))?;
    file.write_all(serde_json::to_string_pretty(saved)?.as_bytes())?;
    fs::rename(&new, &path).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

pub(crate) fn connect(args: &Args) -> Result<Server> {
    let Saved { url, token } = login(args)?;
    client::server(&url, token)
}

/// The server and the token of the arguments or the environment, else those of the last login.
pub(crate) fn login(args: &Args) -> Result<Saved> {
    let saved = if args.url.is_some() && args.token.is_some() { None } else { read(args)? };
    let (saved_url, saved_token) = saved.map_or((None, None), |it| (Some(it.url), Some(it.token)));
    // The token of one server is not told to another.
    let saved_token = saved_token.filter(|_| args.url.is_none() || same_server(&args.url, &saved_url));
    match (args.url.clone().or(saved_url), args.token.clone().or(saved_token)) {
        (Some(url), Some(token)) => Ok(Saved { url, token }),
        (Some(url), None) => {
            bail!("you are not logged in to {url}: run `slipway login {url}`, or set SLIPWAY_TOKEN")
        }
        (None, _) => {
            bail!("you are not logged in: run `slipway login URL`, or set SLIPWAY_URL and SLIPWAY_TOKEN")
        }
    }
}

fn same_server(given: &Option<String>, saved: &Option<String>) -> bool {
    let url = |text: &Option<String>| text.as_deref().and_then(|text| client::parse(text).ok());
    url(given).is_some() && url(given) == url(saved)
}

//! `slipway open`: prints where an application is served, and opens a browser where there is one.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::client::Server;
use crate::show::array;

/// The first that is there opens the URL; on a server none is, and the printed URL is enough.
const OPENERS: [&str; 2] = ["xdg-open", "open"];

pub(crate) async fn open(server: &Server, app: &str, out: &mut dyn Write) -> Result<()> {
    let view = server.get(&format!("/apps/{app}")).await?;
    let live = array(&view["environments"]).iter().filter(|env| !env["live"].is_null());
    let env = live.min_by_key(|env| env["name"] != "main");
    let url = env.and_then(|env| env["url"].as_str());
    let url = url.with_context(|| format!("{app} is not live yet: see `slipway builds show {app}`"))?;
    writeln!(out, "{url}")?;
    for opener in OPENERS {
        let opened = Command::new(opener)
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        if opened.is_ok() {
            break;
        }
    }
    Ok(())
}

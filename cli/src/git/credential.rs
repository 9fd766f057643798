//! Git's credential protocol: git asks for a login by lines of `key=value` and is answered by such lines.

use std::io::Write;

use anyhow::Result;
use url::Url;

use super::USER;
use crate::args::Args;
use crate::{client, config};

/// Operations that later versions of git add are ignored, as git asks of a helper.
pub(crate) fn answer(args: &Args, operation: &str, asked: &str, out: &mut dyn Write) -> Result<()> {
    let Some(server) = server(asked) else { return Ok(()) };
    match operation {
        "get" => {
            let login = config::login(args)?;
            let url = client::parse(&login.url)?;
            if url.origin() != server.origin() {
                // Another helper may know more; that this one does not is said.
                eprintln!(
                    "slipway: you are logged in to {url}, not to {server}: run `slipway login {server}`"
                );
                return Ok(());
            }
            write!(out, "username={USER}\npassword={}\n", login.token)?;
        }
        "erase" => {
            let Ok(login) = config::login(args) else { return Ok(()) };
            if value(asked, "password") == Some(login.token.as_str()) {
                let url = login.url;
                eprintln!(
                    "slipway: {url} rejects the token of your login: it was revoked or has expired; \
                     run `slipway login {url}` with another"
                );
            }
        }
        // Nothing is to be stored: the login is kept already.
        _ => {}
    }
    Ok(())
}

fn value<'a>(asked: &'a str, key: &str) -> Option<&'a str> {
    let mut lines = asked.lines().take_while(|line| !line.is_empty());
    lines.find_map(|line| line.split_once('=').filter(|(it, _)| *it == key).map(|(_, value)| value))
}

/// Where git wants to log in.
fn server(asked: &str) -> Option<Url> {
    let url = format!("{}://{}", value(asked, "protocol")?, value(asked, "host")?);
    url.parse::<Url>().ok().filter(|url| matches!(url.scheme(), "http" | "https"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_asks() {
        let asked = "capability[]=authtype\nprotocol=http\nhost=slipway.localhost:8080\npath=demo.git\n\nhost=later\n";
        assert_eq!(server(asked).unwrap().as_str(), "http://slipway.localhost:8080/");
        assert_eq!(value(asked, "path"), Some("demo.git"));
        for asked in ["", "protocol=https\n", "protocol=ssh\nhost=x\n", "protocol=http\nhost=\n"] {
            assert_eq!(server(asked), None, "{asked:?}");
        }
    }
}

//! HTTP through the `curl` program: it is there anyway, and it knows that `*.localhost` is this machine.

use std::fmt::Write;
use std::process::Command;

use anyhow::Context;
use serde_json::Value;

use crate::command;

/// A request. Headers and body go to curl on its standard input, so no token is ever in an argument list.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    config: String,
    url: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub body: String,
    url: String,
}

impl Request {
    pub(crate) fn new(method: &str, url: &str) -> Self {
        let mut config = String::from("silent\nshow-error\nmax-time = 30\nwrite-out = \"\\n%{http_code}\"\n");
        option(&mut config, "request", method);
        option(&mut config, "url", url);
        Self { config, url: url.to_owned() }
    }

    pub(crate) fn header(mut self, header: &str) -> Self {
        option(&mut self.config, "header", header);
        self
    }

    pub(crate) fn user(mut self, name: &str, password: &str) -> Self {
        option(&mut self.config, "user", &format!("{name}:{password}"));
        self
    }

    pub(crate) fn json(mut self, body: &Value) -> Self {
        option(&mut self.config, "data-binary", &body.to_string());
        self.header("Content-Type: application/json")
    }

    pub(crate) fn send(&self) -> anyhow::Result<Answer> {
        let out = command::output_with_input(Command::new("curl").args(["--config", "-"]), &self.config)
            .with_context(|| format!("no answer from {}", self.url))?;
        let (body, status) = out.rsplit_once('\n').context("curl printed no status")?;
        Ok(Answer { status: status.parse()?, body: body.to_owned(), url: self.url.clone() })
    }
}

impl Answer {
    /// The body as JSON, if the request was granted.
    pub(crate) fn json(&self) -> anyhow::Result<Value> {
        anyhow::ensure!(
            (200..300).contains(&self.status),
            "{} answered {}: {}",
            self.url,
            self.status,
            self.body
        );
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&self.body).with_context(|| format!("{} did not answer with JSON", self.url))
    }
}

/// The digest of an image manifest in a registry that needs no login, if it is there.
pub(crate) fn manifest_digest(url: &str) -> anyhow::Result<Option<String>> {
    let accept =
        "Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";
    let told = "%{http_code} %header{docker-content-digest}";
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--head", "--max-time", "10", "--output", "/dev/null", "--write-out", told]);
    let out = command::output(curl.args(["--header", accept, url]))?;
    match out.split_once(' ') {
        Some(("200", digest)) if digest.starts_with("sha256:") => Ok(Some(digest.to_owned())),
        Some(("404", _)) => Ok(None),
        _ => anyhow::bail!("{url} answered {out}"),
    }
}

/// One line of curl's configuration file.
fn option(config: &mut String, name: &str, value: &str) {
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    writeln!(config, "{name} = \"{escaped}\"").expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_escaped_for_curl() {
        let request = Request::new("POST", "http://x/").json(&json!({"a": "q\"\n"}));
        assert!(
            request.config.contains("data-binary = \"{\\\"a\\\":\\\"q\\\\\\\"\\\\n\\\"}\"\n"),
            "{}",
            request.config
        );
    }

    #[test]
    fn a_refusal_shows_what_the_server_said() {
        let answer = Answer { status: 409, body: "taken".to_owned(), url: "http://x/".to_owned() };
        assert_eq!(answer.json().unwrap_err().to_string(), "http://x/ answered 409: taken");
    }
}

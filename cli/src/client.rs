//! The API as this command sees it: where it is, the token, and errors that say what to do.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, header};
use serde_json::Value;
use url::Url;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) struct Server {
    http: Client,
    /// Without a final slash.
    url: String,
    token: String,
}

/// A URL as people write it: the scheme may be missing.
pub(crate) fn parse(text: &str) -> Result<Url> {
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url: Url = with_scheme
        .parse()
        .with_context(|| format!("{text:?} is not a URL such as http://slipway.localhost:8080"))?;
    if !matches!(url.scheme(), "http" | "https") {
        bail!("{text:?} is neither an http nor an https URL");
    }
    Ok(url)
}

pub(crate) fn server(url: &str, token: String) -> Result<Server> {
    let url = parse(url)?;
    // A redirect would lose the token on its way; where it leads to is told instead.
    let mut http = Client::builder().connect_timeout(CONNECT_TIMEOUT).redirect(Policy::none());
    // Names under localhost are loopback by definition, but not every resolver knows.
    if let Some(host) = url.host_str()
        && host.ends_with(".localhost")
    {
        http = http.resolve(host, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).no_proxy();
    }
    Ok(Server { http: http.build()?, url: url.as_str().trim_end_matches('/').to_owned(), token })
}

impl Server {
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/api/v1{path}", self.url)).bearer_auth(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.json(self.request(Method::GET, path)).await
    }

    pub(crate) async fn json(&self, request: RequestBuilder) -> Result<Value> {
        let answer = self.send(request).await?;
        answer
            .json()
            .await
            .with_context(|| format!("{} does not answer like Slipway: check the URL", self.url))
    }

    /// Sends, and makes a clear error of every answer that is no success.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let answer = request.send().await.map_err(|error| self.unreached(error))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        Err(self.refused(answer).await)
    }

    fn unreached(&self, error: reqwest::Error) -> anyhow::Error {
        let cause = if error.is_timeout() {
            "it did not answer in time"
        } else if error.is_connect() {
            "nobody answers there"
        } else {
            "the connection broke"
        };
        let url = &self.url;
        anyhow!(error.without_url()).context(format!(
            "cannot reach {url}: {cause}; check that Slipway runs and that the URL is right (--url)"
        ))
    }

    async fn refused(&self, answer: Response) -> anyhow::Error {
        let (status, url) = (answer.status(), &self.url);
        let location =
            answer.headers().get(header::LOCATION).and_then(|it| it.to_str().ok()).map(str::to_owned);
        let body: Value = answer.json().await.unwrap_or_default();
        let detail = body["detail"].as_str();
        match (status, detail, location) {
            (StatusCode::UNAUTHORIZED, Some(_), _) => {
                anyhow!(
                    "{url} does not know this token: run `slipway login {url}` again, or set SLIPWAY_TOKEN"
                )
            }
            (_, _, Some(location)) if status.is_redirection() => {
                anyhow!("{url} leads to {location}: use the URL where Slipway itself is (--url)")
            }
            (_, Some(detail), _) => anyhow!("{detail}"),
            (_, None, _) => {
                anyhow!("{url} answered {status}, which Slipway would not: check the URL (--url)")
            }
        }
    }

    /// The build asked for, or the newest, whatever became of it.
    pub(crate) async fn build(&self, app: &str, number: Option<u32>) -> Result<Value> {
        let number = match number {
            Some(number) => u64::from(number),
            None => {
                let builds = self.get(&format!("/apps/{app}/builds?limit=1")).await?;
                let newest = builds["builds"][0]["number"].as_u64();
                newest.with_context(|| format!("{app} has no build yet: push to its repository"))?
            }
        };
        self.get(&format!("/apps/{app}/builds/{number}")).await
    }
}

/// As one part of a path, whatever is in it.
pub(crate) fn segment(text: &str) -> String {
    let encoded = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(b).to_string(),
        _ => format!("%{b:02X}"),
    };
    text.bytes().map(encoded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_no_other_path() {
        assert_eq!(segment("ci runner?/ü"), "ci%20runner%3F%2F%C3%BC");
    }

    #[test]
    fn urls_as_people_write_them() {
        for (text, url) in [
            ("slipway.localhost:8080", "http://slipway.localhost:8080/"),
            ("https://slipway.example/", "https://slipway.example/"),
        ] {
            assert_eq!(parse(text).unwrap().as_str(), url);
        }
        for bad in ["", "ftp://x", "http://", "a b"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}

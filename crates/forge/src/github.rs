//! GitHub: `sha256=` and hex over the raw body whatever its type, statuses on the API host.

use http::HeaderMap;
use http::header::ACCEPT;
use reqwest::RequestBuilder;
use secrecy::{ExposeSecret as _, SecretString};

use crate::status::State;
use crate::{BadSignature, What, payload, signature};

pub(crate) const EVENT: &str = "x-github-event";
pub(crate) const DELIVERY: &str = "x-github-delivery";
const SIGNATURE: &str = "x-hub-signature-256";

pub(crate) fn verify(secret: &SecretString, headers: &HeaderMap, body: &[u8]) -> Result<(), BadSignature> {
    let hex = signature::sent(headers, SIGNATURE, "sha256=")?;
    signature::check(secret, SIGNATURE, hex, body)
}

/// A deleted branch sends a push with a commit of zeros, and `delete` as well.
pub(crate) fn what(event: &str, json: &[u8]) -> Result<What, serde_json::Error> {
    match event {
        "ping" => Ok(payload::ignored("ping: the hook works")),
        _ => payload::what(event, json),
    }
}

/// GitHub has no state for what was stopped on purpose; `error` is the one that does not blame the commit.
pub(crate) const fn state_word(state: State) -> &'static str {
    match state {
        State::Pending => "pending",
        State::Success => "success",
        State::Failure => "failure",
        State::Error | State::Stopped => "error",
    }
}

/// github.com has a host of its own for the API, GitHub Enterprise Server a path.
pub(crate) fn api_url(root: &str) -> String {
    match root {
        "https://github.com" | "https://www.github.com" => "https://api.github.com".to_owned(),
        _ => format!("{root}/api/v3"),
    }
}

pub(crate) fn authorize(request: RequestBuilder, token: &SecretString) -> RequestBuilder {
    request
        .bearer_auth(token.expose_secret())
        .header(ACCEPT, "application/vnd.github+json")
        .header("x-github-api-version", "2022-11-28")
}

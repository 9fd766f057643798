//! Gitea and Forgejo: bare hex over the JSON (also of a form), statuses under `/api/v1`.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use reqwest::RequestBuilder;
use secrecy::{ExposeSecret as _, SecretString};

use crate::status::State;
use crate::{BadSignature, What, payload, signature};

pub(crate) const EVENT: &str = "x-gitea-event";
pub(crate) const DELIVERY: &str = "x-gitea-delivery";
const SIGNATURE: &str = "x-gitea-signature";

pub(crate) fn verify(secret: &SecretString, headers: &HeaderMap, body: &[u8]) -> Result<(), BadSignature> {
    let hex = signature::sent(headers, SIGNATURE, "")?;
    let json = payload::json(headers, body).ok_or(BadSignature::NoPayload)?;
    signature::check(secret, SIGNATURE, hex, &json)
}

pub(crate) fn what(event: &str, json: &[u8]) -> Result<What, serde_json::Error> {
    payload::what(event, json)
}

pub(crate) const fn state_word(state: State) -> &'static str {
    match state {
        State::Pending => "pending",
        State::Success => "success",
        State::Failure => "failure",
        State::Error => "error",
        State::Stopped => "warning",
    }
}

/// Statuses are part of the API beside the pages; `root` is where the forge's pages begin.
pub(crate) fn api_url(root: &str) -> String {
    format!("{root}/api/v1")
}

pub(crate) fn authorize(request: RequestBuilder, token: &SecretString) -> RequestBuilder {
    request.header(AUTHORIZATION, format!("token {}", token.expose_secret()))
}

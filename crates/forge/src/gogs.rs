//! Gogs: bare hex over the JSON (also of a form); it has no commit statuses.

use http::HeaderMap;
use secrecy::SecretString;

use crate::{BadSignature, What, payload, signature};

pub(crate) const EVENT: &str = "x-gogs-event";
pub(crate) const DELIVERY: &str = "x-gogs-delivery";
const SIGNATURE: &str = "x-gogs-signature";

pub(crate) fn verify(secret: &SecretString, headers: &HeaderMap, body: &[u8]) -> Result<(), BadSignature> {
    let hex = signature::sent(headers, SIGNATURE, "")?;
    let json = payload::json(headers, body).ok_or(BadSignature::NoPayload)?;
    signature::check(secret, SIGNATURE, hex, &json)
}

/// A tag sends no push, only `create`; a deleted branch no push, only `delete`.
pub(crate) fn what(event: &str, json: &[u8]) -> Result<What, serde_json::Error> {
    payload::what(event, json)
}

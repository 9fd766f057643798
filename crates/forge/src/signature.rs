//! HMAC-SHA256 over a delivery, compared in constant time.

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

/// Why a delivery is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    #[error("there is no {0} header: set the hook's secret on the forge")]
    Missing(&'static str),
    /// Gogs and Gitea send the header empty when the hook has no secret.
    #[error("the {0} header is empty: set the hook's secret on the forge")]
    Empty(&'static str),
    #[error("the {0} header does not hold what the forge sends: 64 lower-case hex digits")]
    Malformed(&'static str),
    #[error("the body is a form without the field payload: send JSON with content type application/json")]
    NoPayload,
    #[error("the signature is not of this body and the hook's secret")]
    Mismatch,
}

/// The signature header's text after `prefix`, checked for presence only.
pub(crate) fn sent<'a>(
    headers: &'a HeaderMap,
    name: &'static str,
    prefix: &str,
) -> Result<&'a str, BadSignature> {
    let value = headers.get(name).ok_or(BadSignature::Missing(name))?;
    if value.is_empty() {
        return Err(BadSignature::Empty(name));
    }
    value.to_str().ok().and_then(|text| text.strip_prefix(prefix)).ok_or(BadSignature::Malformed(name))
}

/// Checks `hex` against `signed`. Only the form that forges send is taken: anything looser would let one delivery
/// be written in many ways.
pub(crate) fn check(
    secret: &SecretString,
    name: &'static str,
    hex: &str,
    signed: &[u8],
) -> Result<(), BadSignature> {
    let lower = hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let mut signature = [0; 32];
    if !lower || hex::decode_to_slice(hex, &mut signature).is_err() {
        return Err(BadSignature::Malformed(name));
    }
    Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
        .expect("HMAC takes a key of any length")
        .chain_update(signed)
        .verify_slice(&signature)
        .map_err(|_| BadSignature::Mismatch)
}

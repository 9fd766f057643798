//! What forges say to us and we to them: webhook deliveries in (verified, then read), commit statuses out.
//!
//! One module per forge holds what is its own: header names, what its signature covers, its events, its status API.
//! Which forge it is comes from our own row: Gogs and Gitea send the other forges' headers too.

mod gitea;
mod github;
mod gogs;
mod payload;
mod refname;
mod signature;
pub mod status;
#[cfg(test)]
mod tests;

use domain::commit::Commit;
use domain::forge_kind::ForgeKind;
use http::HeaderMap;
use secrecy::SecretString;

pub use signature::BadSignature;

/// A delivery id longer than this is cut: forges send UUIDs, and the database indexes it.
const KEY_MAX: usize = 100;

/// A verified delivery, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The forge's id of the delivery; Gogs and GitHub keep it when they deliver again.
    pub delivery_key: Option<String>,
    /// The forge's word for the kind of event, such as `push`; empty when it sent none.
    pub name: String,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A branch moved. The commit is what the forge saw then; what the branch is now must be asked.
    Push { branch: String, commit: Commit },
    /// A branch was deleted. It may be back by now.
    Deleted { branch: String },
    /// Nothing to build. The ref is a full one (`refs/tags/v1`), where the event names one.
    Ignored { why: String, git_ref: Option<String>, commit: Option<Commit> },
}

/// Checks that the forge which knows `secret` signed this body. Call it before anything of the delivery is believed.
pub fn verify(
    kind: ForgeKind,
    secret: &SecretString,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(), BadSignature> {
    match kind {
        ForgeKind::Gitea => gitea::verify(secret, headers, body),
        ForgeKind::Gogs => gogs::verify(secret, headers, body),
        ForgeKind::Github => github::verify(secret, headers, body),
    }
}

/// Reads a verified delivery. Total: what cannot be read is ignored, and the event says why.
pub fn parse(kind: ForgeKind, headers: &HeaderMap, body: &[u8]) -> Event {
    let (event_header, delivery_header) = match kind {
        ForgeKind::Gitea => (gitea::EVENT, gitea::DELIVERY),
        ForgeKind::Gogs => (gogs::EVENT, gogs::DELIVERY),
        ForgeKind::Github => (github::EVENT, github::DELIVERY),
    };
    let delivery_key = header(headers, delivery_header).map(|key| key.chars().take(KEY_MAX).collect());
    let name = header(headers, event_header).unwrap_or_default();
    let json = payload::json(headers, body).unwrap_or_default();
    let read = match kind {
        _ if name.is_empty() => Ok(payload::ignored(format!("it names no event in {event_header}"))),
        ForgeKind::Gitea => gitea::what(name, &json),
        ForgeKind::Gogs => gogs::what(name, &json),
        ForgeKind::Github => github::what(name, &json),
    };
    let what = read.unwrap_or_else(|error| {
        payload::ignored(format!("the body does not read as a {name} event: {error}"))
    });
    Event { delivery_key, name: name.chars().take(KEY_MAX).collect(), what }
}

/// A header's text; `None` when it is missing, empty or not plain ASCII.
fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).filter(|text| !text.is_empty())
}

//! The JSON inside a delivery. The three forges share the shapes of the few events that are read.

use std::borrow::Cow;

use domain::commit::{self, Commit};
use http::HeaderMap;

use crate::{What, refname};

/// A reason longer than this, or one with control characters, is none for people (nor for PostgreSQL).
const WHY_MAX: usize = 300;

/// The JSON of a delivery: the body, or what a form's `payload=` holds; `None`: the form holds none.
pub(crate) fn json<'a>(headers: &HeaderMap, body: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    if !is_form(headers) {
        return Some(Cow::Borrowed(body));
    }
    let (_, payload) = url::form_urlencoded::parse(body).find(|(key, _)| key == "payload")?;
    Some(match payload {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    })
}

fn is_form(headers: &HeaderMap) -> bool {
    let content_type = crate::header(headers, http::header::CONTENT_TYPE.as_str()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

pub(crate) fn ignored(why: impl AsRef<str>) -> What {
    ignored_at(why, None, None)
}

fn ignored_at(why: impl AsRef<str>, git_ref: Option<String>, commit: Option<Commit>) -> What {
    let why = why.as_ref().chars().filter(|c| !c.is_control()).take(WHY_MAX).collect();
    What::Ignored { why, git_ref, commit }
}

/// What the events that all three forges name alike ask for.
pub(crate) fn what(event: &str, json: &[u8]) -> Result<What, serde_json::Error> {
    match event {
        "push" => push(json),
        "create" => created(json),
        "delete" => deleted(json),
        "pull_request" => pull_request(json),
        _ => Ok(uninteresting(event)),
    }
}

/// An event that never has anything to build in it.
fn uninteresting(event: &str) -> What {
    ignored(format!("a {event} event builds nothing: choose only push events in the hook's settings"))
}

/// A ref moved: a branch to build, a tag, or a branch that is gone.
fn push(json: &[u8]) -> Result<What, serde_json::Error> {
    #[derive(serde::Deserialize)]
    struct Push {
        #[serde(rename = "ref")]
        git_ref: String,
        after: String,
    }
    let Push { git_ref, after } = serde_json::from_slice(json)?;
    let commit = Commit::parse(&after);
    if let Some(tag) = refname::tag(&git_ref) {
        let why = format!("tag {tag} was pushed: only branches are built");
        return Ok(ignored_at(why, valid_tag(&git_ref), commit.ok()));
    }
    let Some(branch) = refname::branch(&git_ref) else {
        return Ok(ignored(format!("{git_ref:?} does not name a branch")));
    };
    if commit::is_null(&after) {
        return Ok(What::Deleted { branch: branch.to_owned() });
    }
    Ok(match commit {
        Ok(commit) => What::Push { branch: branch.to_owned(), commit },
        Err(error) => ignored_at(error.to_string(), Some(git_ref), None),
    })
}

fn valid_tag(git_ref: &str) -> Option<String> {
    refname::tag(git_ref).and_then(|tag| refname::full("tag", tag))
}

/// The body of `create` and `delete`. Gogs sends no commit for branches, GitHub for nothing.
#[derive(serde::Deserialize)]
struct Ref {
    #[serde(rename = "ref")]
    short: String,
    ref_type: String,
    sha: Option<String>,
}

/// A ref came to be. Never built: a branch sends a push as well, a tag is not built.
fn created(json: &[u8]) -> Result<What, serde_json::Error> {
    let Ref { short, ref_type, sha } = serde_json::from_slice(json)?;
    let why = match ref_type.as_str() {
        "branch" => format!("branch {short} was created: a push event follows"),
        _ => format!("{ref_type} {short} was created: only branches are built"),
    };
    let commit = sha.and_then(|sha| Commit::parse(&sha).ok());
    Ok(ignored_at(why, refname::full(&ref_type, &short), commit))
}

/// A ref is gone. What ran of a branch goes with it.
fn deleted(json: &[u8]) -> Result<What, serde_json::Error> {
    let Ref { short, ref_type, .. } = serde_json::from_slice(json)?;
    let git_ref = refname::full(&ref_type, &short);
    Ok(match git_ref.as_deref().and_then(refname::branch) {
        Some(branch) => What::Deleted { branch: branch.to_owned() },
        None => ignored_at(format!("{ref_type} {short} was deleted"), git_ref, None),
    })
}

/// A pull request's own branch sends a push event when it is in this repository; from a fork nothing is built.
fn pull_request(json: &[u8]) -> Result<What, serde_json::Error> {
    #[derive(serde::Deserialize)]
    struct Body {
        action: String,
        number: u64,
        pull_request: PullRequest,
    }
    #[derive(serde::Deserialize)]
    struct PullRequest {
        head: Head,
    }
    #[derive(serde::Deserialize)]
    struct Head {
        sha: String,
    }
    let Body { action, number, pull_request } = serde_json::from_slice(json)?;
    let why = format!("pull request #{number} {action}: only branches are built");
    let commit = Commit::parse(&pull_request.head.sha).ok();
    Ok(ignored_at(why, Some(format!("refs/pull/{number}/head")), commit))
}

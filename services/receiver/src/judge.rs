//! The verdict on a delivery, before its id is compared with earlier ones. Pure.

use axum::http::HeaderMap;
use domain::verdict::Verdict;
use forge::What;
use secrecy::SecretString;
use store::app::{App, Hook};

use crate::body::{BODY_MAX, Received};

/// A verdict and what of the delivery is stored beside it. Nothing of it comes from an unverified delivery.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) verdict: Verdict,
    pub(crate) why: Option<String>,
    pub(crate) delivery_key: Option<String>,
    pub(crate) event: Option<String>,
    pub(crate) git_ref: Option<String>,
    pub(crate) commit: Option<String>,
    /// The branch to ask the forge about; there is one when the delivery is accepted.
    pub(crate) branch: Option<String>,
}

pub(crate) fn judge(known: Option<&(Hook, App)>, headers: &HeaderMap, received: &Received) -> Judged {
    let Some((hook, forge)) = known.and_then(|(hook, app)| Some((hook, app.forge.as_ref()?))) else {
        return refused(
            Verdict::UnknownHook,
            "no application has this hook: copy its URL from the application's page",
        );
    };
    if !received.is_whole() {
        return refused(Verdict::TooLarge, format!("the body is larger than {} MiB", BODY_MAX >> 20));
    }
    let (kind, secret) = (forge.kind, SecretString::from(hook.secret.as_str()));
    if let Err(error) = forge::verify(kind, &secret, headers, &received.kept) {
        return refused(Verdict::BadSignature, error.to_string());
    }
    let event = forge::parse(kind, headers, &received.kept);
    let read = Judged {
        verdict: Verdict::Ignored,
        why: None,
        delivery_key: event.delivery_key,
        event: Some(event.name).filter(|name| !name.is_empty()),
        git_ref: None,
        commit: None,
        branch: None,
    };
    match event.what {
        What::Push { branch, commit } => Judged {
            verdict: Verdict::Accepted,
            git_ref: Some(format!("refs/heads/{branch}")),
            commit: Some(commit.into()),
            branch: Some(branch),
            ..read
        },
        What::Deleted { branch } => Judged {
            verdict: Verdict::Accepted,
            why: Some(format!("branch {branch} was deleted")),
            git_ref: Some(format!("refs/heads/{branch}")),
            branch: Some(branch),
            ..read
        },
        What::Ignored { why, git_ref, commit } => {
            Judged { why: Some(why), git_ref, commit: commit.map(String::from), ..read }
        }
    }
}

fn refused(verdict: Verdict, why: impl Into<String>) -> Judged {
    let why = Some(why.into());
    Judged { verdict, why, delivery_key: None, event: None, git_ref: None, commit: None, branch: None }
}

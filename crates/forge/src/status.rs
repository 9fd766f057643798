//! Commit statuses: the mark that a forge shows beside a commit.

use std::time::Duration;

use anyhow::Context as _;
use domain::commit::Commit;
use domain::forge_kind::ForgeKind;
use http::StatusCode;
use reqwest::redirect::Policy;
use secrecy::SecretString;
use url::Url;

use crate::{gitea, github};

/// GitHub takes no longer description.
const DESCRIPTION_MAX: usize = 140;
/// A forge answers a status within a second; ten is one that is not well.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// So much of a refusal is read: enough for its message.
const REFUSAL_MAX: usize = 500;

/// Where one repository's statuses are set, and as whom.
#[derive(Clone, Debug)]
pub struct Api {
    kind: ForgeKind,
    /// Without a final slash.
    url: String,
    /// `owner/name`
    repo: String,
    token: SecretString,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Pending,
    Success,
    /// The commit is at fault.
    Failure,
    /// The platform is at fault.
    Error,
    /// Nobody is: superseded or cancelled.
    Stopped,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub state: State,
    /// Whose mark it is; a later status with the same context replaces an earlier one.
    pub context: String,
    pub description: String,
    pub target_url: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Posted,
    /// The forge has no commit statuses.
    NotSupported,
}

#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// Asking again will not help.
    #[error("the forge refused the status with {status}: {message}")]
    Refused { status: StatusCode, message: String },
    /// Asking again later may help.
    #[error("the forge is unavailable: {0}")]
    Unavailable(String),
}

/// The API of the repository at `repo_url`; `api_url` where the forge's is not in the usual place.
pub fn api(
    kind: ForgeKind,
    repo_url: &str,
    api_url: Option<&str>,
    token: SecretString,
) -> anyhow::Result<Api> {
    let url =
        Url::parse(repo_url).with_context(|| format!("the repository URL {repo_url:?} is not a URL"))?;
    let path = url.path().trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let mut parts = path.rsplitn(3, '/');
    let (Some(name), Some(owner)) = (parts.next().filter(|name| !name.is_empty()), parts.next()) else {
        anyhow::bail!("the repository URL {repo_url:?} does not end in owner/name");
    };
    let root = match parts.next() {
        Some(below) => format!("{}/{below}", origin(&url)),
        None => origin(&url),
    };
    let url = match (api_url, kind) {
        (Some(api_url), _) => api_url.trim_end_matches('/').to_owned(),
        (None, ForgeKind::Github) => github::api_url(&root),
        (None, ForgeKind::Gitea | ForgeKind::Gogs) => gitea::api_url(&root),
    };
    Ok(Api { kind, url, repo: format!("{owner}/{name}"), token })
}

/// Scheme, host and port; a clone URL of another protocol says nothing of the API's port.
fn origin(url: &Url) -> String {
    if matches!(url.scheme(), "http" | "https") {
        url.origin().ascii_serialization()
    } else {
        format!("https://{}", url.host_str().unwrap_or_default())
    }
}

/// A client for [`set_status`]. It follows no redirect: a POST would arrive as a GET, or the token elsewhere.
pub fn client() -> anyhow::Result<reqwest::Client> {
    let builder =
        reqwest::Client::builder().user_agent("slipway").redirect(Policy::none()).timeout(ANSWER_MAX);
    builder.build().context("cannot make an HTTP client")
}

/// Sets the status of a commit. Setting the same one again changes nothing that is seen.
pub async fn set_status(
    client: &reqwest::Client,
    api: &Api,
    commit: &Commit,
    status: &Status,
) -> Result<Outcome, StatusError> {
    let request = client.post(format!("{}/repos/{}/statuses/{commit}", api.url, api.repo));
    let (request, state) = match api.kind {
        ForgeKind::Gogs => return Ok(Outcome::NotSupported),
        ForgeKind::Gitea => (gitea::authorize(request, &api.token), gitea::state_word(status.state)),
        ForgeKind::Github => (github::authorize(request, &api.token), github::state_word(status.state)),
    };
    let body = serde_json::json!({
        "state": state,
        "context": status.context,
        "description": cut(&status.description),
        "target_url": status.target_url,
    });
    let answer = request.json(&body).send().await.map_err(|error| StatusError::Unavailable(chain(&error)))?;
    if answer.status().is_success() { Ok(Outcome::Posted) } else { Err(refusal(answer).await) }
}

fn cut(description: &str) -> String {
    if description.chars().count() <= DESCRIPTION_MAX {
        return description.to_owned();
    }
    description.chars().take(DESCRIPTION_MAX - 1).chain(['…']).collect()
}

/// reqwest's own text leaves out the cause, which is the part that helps.
fn chain(error: &reqwest::Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

async fn refusal(mut answer: reqwest::Response) -> StatusError {
    let status = answer.status();
    // GitHub answers 403 to one who asks too often, and says when to come back.
    let limited = answer.headers().contains_key("retry-after")
        || answer.headers().get("x-ratelimit-remaining").is_some_and(|left| left == "0");
    let body = answer.chunk().await.ok().flatten().unwrap_or_default();
    let message = message(&body);
    let later = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    if status.is_server_error() || later || (status == StatusCode::FORBIDDEN && limited) {
        StatusError::Unavailable(format!("{status}: {message}"))
    } else {
        StatusError::Refused { status, message }
    }
}

/// Both forges answer `{"message": ".."}`; a proxy between may answer anything.
fn message(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Refusal {
        message: String,
    }
    let text = match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => refusal.message,
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    text.chars().filter(|c| !c.is_control()).take(REFUSAL_MAX).collect()
}

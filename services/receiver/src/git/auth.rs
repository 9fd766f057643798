//! Who asks for a repository, and what they may do with it. The password is a token, or the lease of a running build.
//!
//! 401 when there is no token or one that is not known, 403 when it may not do this, 404 when it may not even know of
//! the application: a 401 for a known token would make git forget it.

use std::time::Instant;

use axum::http::{Extensions, HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use domain::job::JobKind;
use domain::scope::Scope;
use host::failures::client_of;
use store::app::App;
use store::token::Token;
use uuid::Uuid;

use super::Git;

/// The user name under which a builder shows its lease.
const BUILDER: &str = "build";

/// An answer instead of what was asked for; git shows the text of the ones that are no 401.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    text: String,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, text: impl Into<String>) -> Refusal {
        Refusal { status, text: text.into() }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Refusal {
    fn from(error: E) -> Refusal {
        tracing::error!("a git request failed: {:#}", error.into());
        Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Slipway cannot answer just now and nothing was changed; try again in a moment",
        )
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response =
            (self.status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], self.text + "\n")
                .into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge =
                header::HeaderValue::from_static("Basic realm=\"Slipway: any user, a token as password\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Asker {
    Client(Token),
    /// The builder that holds the lease of a build of this application.
    Builder(Uuid),
}

/// What a request is about.
#[derive(Debug)]
pub(crate) enum Target {
    App(Box<App>),
    /// There is no such application yet, and the token may create it by pushing.
    New(String),
}

/// Who asks, and for what, when they may do with it what `need` says. The repository is `<name>.git`.
pub(crate) async fn admit(
    git: &Git,
    headers: &HeaderMap,
    extensions: &Extensions,
    repository: &str,
    need: Scope,
) -> Result<(Asker, Target), Refusal> {
    let Some(login) = basic(headers) else {
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "log in with a token as the password"));
    };
    let name = repository.strip_suffix(".git").filter(|name| domain::name::check_app(name).is_ok());
    let found = async {
        match name {
            Some(name) => store::app::by_name(&git.db, name).await,
            None => Ok(None),
        }
    };
    // A client waits for each round trip, so both are asked for at once.
    let (asker, found) = tokio::join!(asker(git, login, headers, extensions), found);
    let asker = asker?;
    let target = target(name.ok_or_else(|| bad_name(repository))?, found?, &asker, need)?;
    Ok((asker, target))
}

async fn asker(
    git: &Git,
    (user, password): (String, String),
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<Asker, Refusal> {
    if user == BUILDER
        && let Ok(lease) = Uuid::try_parse(&password)
        && let Some(build) = store::queue::subject_of_lease(&git.db, JobKind::Build, lease).await?
        && let Some(build) = store::build::get(&git.db, build).await?
    {
        return Ok(Asker::Builder(build.app_id));
    }
    // Some clients give a token as the user and leave the password empty.
    let secret = if password.is_empty() { &user } else { &password };
    match store::token::verify(&git.db, secret).await? {
        Some(token) => Ok(Asker::Client(token)),
        None => Err(unknown_token(git, headers, extensions)),
    }
}

/// A known token is never refused because others guess from its address.
fn unknown_token(git: &Git, headers: &HeaderMap, extensions: &Extensions) -> Refusal {
    let (client, now) = (client_of(headers, extensions), Instant::now());
    git.failures.count(client, now);
    if git.failures.is_blocked(client, now) {
        return Refusal::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too many unknown tokens from your address; wait a minute",
        );
    }
    Refusal::new(StatusCode::UNAUTHORIZED, "this token is not known here")
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, value) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64_STANDARD.decode(value.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// The application of this name, when `asker` may do with it what `need` says.
fn target(name: &str, app: Option<App>, asker: &Asker, need: Scope) -> Result<Target, Refusal> {
    let token = match asker {
        Asker::Builder(id) => {
            let own = app.filter(|app| app.id == *id && need == Scope::Read);
            return own.map(|app| Target::App(Box::new(app))).ok_or_else(|| missing(name));
        }
        Asker::Client(token) => token,
    };
    let Some(app) = app else {
        if need == Scope::Push && token.allows(None, Scope::Push) {
            return Ok(Target::New(name.to_owned()));
        }
        return Err(missing(name));
    };
    if !token.allows(Some(app.id), Scope::Read) {
        return Err(missing(name));
    }
    if !token.allows(Some(app.id), need) {
        let text =
            format!("the token {:?} may only read {name}; pushing needs one of scope push", token.name);
        return Err(Refusal::new(StatusCode::FORBIDDEN, text));
    }
    match &app.forge {
        Some(forge) => {
            let text = format!("{name} is built from {}: push there", forge.repo_url);
            Err(Refusal::new(StatusCode::FORBIDDEN, text))
        }
        None => Ok(Target::App(Box::new(app))),
    }
}

fn missing(name: &str) -> Refusal {
    let text = format!(
        "there is no application {name:?} that this token may use; the first push creates one when the token's scope \
         is push for all applications"
    );
    Refusal::new(StatusCode::NOT_FOUND, text)
}

fn bad_name(repository: &str) -> Refusal {
    let shown: String = repository.chars().filter(|c| !c.is_control()).take(80).collect();
    let text = match repository.strip_suffix(".git").map(domain::name::check_app) {
        Some(Err(error)) => format!("{shown:?} cannot be an application's repository: {error}"),
        _ => format!("there is no repository {shown:?}: its URL ends in /<application>.git"),
    };
    Refusal::new(StatusCode::NOT_FOUND, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_basic_carries() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            basic(&headers)
        };
        let pair = BASE64_STANDARD.encode("git:slip:colon");
        assert_eq!(of(&format!("basic {pair}")), Some(("git".to_owned(), "slip:colon".to_owned())));
        for bad in ["Bearer x", "Basic", "Basic !!!", "Basic aGVsbG8="] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}

//! Who may pass, and where: a token as bearer for programs, a session cookie for browsers.

mod cookie;
mod origin;
mod rules;

use std::time::Instant;

use axum::RequestExt as _;
use axum::extract::{MatchedPath, RawPathParams, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use domain::scope::Scope;
use host::Problem;
use host::failures::{WINDOW, client_of};
use rand::RngCore as _;
use store::token::Token;

use crate::Web;
use crate::pages::Unshown;

pub(crate) use cookie::{clear, sessions, set};
pub(crate) use origin::is_ours;
pub(crate) use rules::Rule;
use rules::{is_of_app, scope_of};

/// Whose request this is; an extension of every request behind the login.
#[derive(Clone, Debug)]
pub(crate) struct Caller(pub(crate) Token);

/// 256 random bits as hex: session cookies and hook secrets.
pub(crate) fn random_hex() -> String {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    hex::encode(bytes)
}

/// Lets a request pass whose token or session is known; a session only from our own pages when it changes something.
pub(crate) async fn require(State(web): State<Web>, mut request: Request, next: Next) -> Response {
    match identify(&web, request.method(), request.headers()).await {
        Ok(Some(token)) => match admit(&web, &token, &mut request).await {
            Ok(()) => {
                request.extensions_mut().insert(Caller(token));
                next.run(request).await
            }
            Err(problem) if is_api(&request) => problem.into_response(),
            Err(problem) => Unshown::from(problem).into_response(),
        },
        Ok(None) if bearer(request.headers()).is_some() => refuse_token(&web, &request),
        Ok(None) if is_api(&request) => unauthorized("this request has no token"),
        Ok(None) => Redirect::to(&login_url(request.uri(), request.method())).into_response(),
        Err(problem) => problem.into_response(),
    }
}

fn is_api(request: &Request) -> bool {
    request.uri().path().starts_with("/api/")
}

/// Holds the token against what its route asks for. The application in the path becomes an extension of the request:
/// no handler gets one that its caller may not see, and one that is hidden is answered like one that is not there.
async fn admit(web: &Web, token: &Token, request: &mut Request) -> Result<(), Problem> {
    let Some(path) = request.extensions().get::<MatchedPath>().cloned() else {
        // No route: the fallback says so.
        return Ok(());
    };
    let scope = scope_of(request.method(), path.as_str()).ok_or_else(|| {
        Problem::client(StatusCode::METHOD_NOT_ALLOWED, "what is at this path cannot be used in this way")
    })?;
    if !is_of_app(path.as_str()) {
        // Everybody may read what is of no single application: it shows only what they may see.
        let is_allowed = scope == Scope::Read || token.allows(None, scope);
        return if is_allowed { Ok(()) } else { Err(forbidden(token, scope)) };
    }
    let params = request.extract_parts::<RawPathParams>().await;
    let params = params.map_err(|error| Problem::client(error.status(), error.body_text()))?;
    let name = params.iter().find(|(key, _)| *key == "app").map(|(_, name)| name).unwrap_or_default();
    let app = store::app::by_name(&web.db, name).await?;
    let app = app.filter(|app| token.allows(Some(app.id), Scope::Read));
    let app = app.ok_or_else(|| Problem::not_found(format!("there is no application called {name:?}")))?;
    if !token.allows(Some(app.id), scope) {
        return Err(forbidden(token, scope));
    }
    request.extensions_mut().insert(app);
    Ok(())
}

fn forbidden(token: &Token, scope: Scope) -> Problem {
    let has = token.scope.0;
    let detail = if has < scope {
        format!("this needs a token of scope {scope}; {:?} is of scope {has}", token.name)
    } else {
        format!("this needs a token for all applications; {:?} is for one", token.name)
    };
    Problem::client(StatusCode::FORBIDDEN, detail)
}

async fn identify(web: &Web, method: &Method, headers: &HeaderMap) -> Result<Option<Token>, Problem> {
    if let Some(secret) = bearer(headers) {
        return Ok(store::token::verify(&web.db, secret).await?);
    }
    for secret in sessions(headers, web.links.is_https()) {
        let Some(token) = store::token::session(&web.db, secret).await? else { continue };
        let is_safe = matches!(*method, Method::GET | Method::HEAD);
        if !is_safe && !is_ours(headers, web.links.origin()) {
            return Err(Problem::client(StatusCode::FORBIDDEN, "this form was sent from another site"));
        }
        return Ok(Some(token));
    }
    Ok(None)
}

/// A known token is never refused because others guess from its address; guesses are answered less and less usefully.
fn refuse_token(web: &Web, request: &Request) -> Response {
    let (client, now) = (client_of(request.headers(), request.extensions()), Instant::now());
    web.failed_tokens.count(client, now);
    if web.failed_tokens.is_blocked(client, now) {
        let problem =
            Problem::client(StatusCode::TOO_MANY_REQUESTS, "too many unknown tokens from your address");
        return ([(header::RETRY_AFTER, WINDOW.as_secs())], problem).into_response();
    }
    unauthorized("this token is not known here")
}

fn unauthorized(why: &str) -> Response {
    let detail = format!("{why}: log in, or send a token as Authorization: Bearer <token>");
    let problem = Problem::client(StatusCode::UNAUTHORIZED, detail);
    ([(header::WWW_AUTHENTICATE, "Bearer")], problem).into_response()
}

/// A form that was sent after its session had ended is not sent again: its page is shown.
fn login_url(uri: &Uri, method: &Method) -> String {
    let wanted = match *method {
        Method::GET | Method::HEAD => uri.path_and_query().map_or("/", |it| it.as_str()),
        _ => uri.path(),
    };
    if matches!(wanted, "/" | "/logout") {
        return "/login".to_owned();
    }
    let next: String = url::form_urlencoded::byte_serialize(wanted.as_bytes()).collect();
    format!("/login?next={next}")
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, secret) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(secret.trim())
}

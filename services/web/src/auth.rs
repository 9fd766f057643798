//! Who may pass: a token as bearer for programs, a session cookie for browsers.

mod cookie;
mod failures;
mod origin;

use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use host::Problem;
use rand::RngCore as _;
use store::token::Token;

use crate::Web;

pub(crate) use cookie::{clear, sessions, set};
use failures::WINDOW;
pub(crate) use failures::{Failures, client_of};
pub(crate) use origin::is_ours;

/// Whose request this is; an extension of every request behind the login.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) name: String,
}

/// 256 random bits as hex: session cookies and hook secrets.
pub(crate) fn random_hex() -> String {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    hex::encode(bytes)
}

/// Lets a request pass whose token or session is known; a session only from our own pages when it changes something.
pub(crate) async fn require(State(web): State<Web>, mut request: Request, next: Next) -> Response {
    match identify(&web, request.method(), request.headers()).await {
        Ok(Some(token)) => {
            request.extensions_mut().insert(Caller { name: token.name });
            next.run(request).await
        }
        Ok(None) if bearer(request.headers()).is_some() => refuse_token(&web, &request),
        Ok(None) if request.uri().path().starts_with("/api/") => unauthorized("this request has no token"),
        Ok(None) => Redirect::to(&login_url(request.uri(), request.method())).into_response(),
        Err(problem) => problem.into_response(),
    }
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

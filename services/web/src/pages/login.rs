//! Logging in with a token, and out.

use std::time::Instant;

use askama::Template;
use axum::extract::{Query, Request, State};
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Form, RequestExt as _, Router};
use host::Problem;
use host::failures::client_of;

use super::{Page, Unshown, page};
use crate::{Web, auth};

/// Open to everybody.
pub(crate) fn router() -> Router<Web> {
    Router::new().route("/login", get(form).post(login))
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    next: &'a str,
    error: Option<&'a str>,
}

#[derive(serde::Deserialize)]
struct Next {
    #[serde(default)]
    next: String,
}

async fn form(Query(query): Query<Next>) -> Page {
    page(&LoginPage { next: here(&query.next), error: None })
}

/// Only a path of ours is a place to go on to.
fn here(next: &str) -> &str {
    let is_path = next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\r', '\n']);
    if is_path { next } else { "/" }
}

#[derive(serde::Deserialize)]
struct Filled {
    token: String,
    #[serde(default)]
    next: String,
}

async fn login(State(web): State<Web>, request: Request) -> Result<Response, Unshown> {
    let client = client(&web, request.headers(), request.extensions())?;
    let filled = request.extract::<Form<Filled>, _>().await;
    let Form(filled) = filled.map_err(|bad| Problem::client(bad.status(), bad.body_text()))?;
    let Some(token) = store::token::verify(&web.db, filled.token.trim()).await? else {
        web.failed_logins.count(client, Instant::now());
        let error = Some("This token is not known here.");
        let again = page(&LoginPage { next: here(&filled.next), error })?;
        return Ok((StatusCode::UNAUTHORIZED, again).into_response());
    };
    let secret = auth::random_hex();
    store::token::open_session(&web.db, &token, &secret).await?;
    let cookie = auth::set(&secret, web.links.is_https())?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(here(&filled.next))).into_response())
}

/// Who tries to log in, when it may: from our own page, and not after too many failures.
fn client(web: &Web, headers: &HeaderMap, extensions: &Extensions) -> Result<std::net::IpAddr, Unshown> {
    if !auth::is_ours(headers, web.links.origin()) {
        return Err(Problem::client(StatusCode::FORBIDDEN, "this form was sent from another site").into());
    }
    let client = client_of(headers, extensions);
    if web.failed_logins.is_blocked(client, Instant::now()) {
        let detail = "too many failed logins from your address; wait a minute";
        return Err(Problem::client(StatusCode::TOO_MANY_REQUESTS, detail).into());
    }
    Ok(client)
}

pub(super) async fn logout(State(web): State<Web>, headers: HeaderMap) -> Result<Response, Unshown> {
    for secret in auth::sessions(&headers, web.links.is_https()) {
        store::token::close_session(&web.db, secret).await?;
    }
    let cookie = auth::clear(web.links.is_https())?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/login")).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_only_to_our_own_pages() {
        for next in ["/", "/apps/demo?before=3"] {
            assert_eq!(here(next), next);
        }
        for next in ["", "https://evil.example", "//evil.example", "/\\evil.example", "/a\r\nSet-Cookie: x"] {
            assert_eq!(here(next), "/", "{next}");
        }
    }
}

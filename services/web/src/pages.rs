//! The pages. Complete without a script; scripts only keep them current.

mod app;
mod build;
mod create;
mod garbage;
mod home;
pub(crate) mod login;
mod tokens;

use askama::Template;
use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use domain::scope::Scope;
use host::Problem;

use crate::Web;
use crate::auth::Rule;

/// Every page and form behind the login, with the scope that it needs.
fn routes() -> [(Method, &'static str, Scope, MethodRouter<Web>); 15] {
    [
        (Method::GET, "/", Scope::Read, get(home::home)),
        (Method::GET, "/apps/new", Scope::Push, get(create::form)),
        (Method::POST, "/apps/new", Scope::Push, post(create::send)),
        (Method::GET, "/apps/{app}", Scope::Read, get(app::app)),
        (Method::GET, "/apps/{app}/deliveries", Scope::Read, get(app::deliveries)),
        (Method::GET, "/apps/{app}/builds/{number}", Scope::Read, get(build::build)),
        (Method::GET, "/apps/{app}/builds/{number}/summary", Scope::Read, get(build::summary)),
        (Method::POST, "/apps/{app}/builds/{number}/cancel", Scope::Push, post(build::cancel)),
        (Method::POST, "/apps/{app}/builds/{number}/rebuild", Scope::Push, post(build::rebuild)),
        (Method::POST, "/apps/{app}/environments/{env}/remove", Scope::Push, post(app::remove_environment)),
        (Method::POST, "/logout", Scope::Read, post(login::logout)),
        (Method::GET, "/garbage", Scope::Admin, get(garbage::garbage)),
        (Method::GET, "/tokens", Scope::Admin, get(tokens::tokens)),
        (Method::POST, "/tokens", Scope::Admin, post(tokens::create)),
        (Method::POST, "/tokens/{id}/revoke", Scope::Admin, post(tokens::revoke)),
    ]
}

pub(crate) fn rules() -> Vec<Rule> {
    let rule = |(method, path, scope, _): (Method, &str, Scope, MethodRouter<Web>)| Rule {
        method,
        path: path.to_owned(),
        scope,
    };
    routes().into_iter().map(rule).collect()
}

pub(crate) fn router() -> Router<Web> {
    routes().into_iter().fold(Router::new(), |router, (_, path, _, handler)| router.route(path, handler))
}

type Page = Result<Html<String>, Unshown>;

fn page(template: &impl Template) -> Page {
    Ok(Html(template.render().map_err(Problem::from)?))
}

/// A problem as a page.
#[derive(Debug)]
pub(crate) struct Unshown(Problem);

impl From<Problem> for Unshown {
    fn from(problem: Problem) -> Self {
        Unshown(problem)
    }
}

impl From<anyhow::Error> for Unshown {
    fn from(error: anyhow::Error) -> Self {
        Unshown(Problem::Internal(error))
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    title: &'a str,
    detail: &'a str,
}

impl IntoResponse for Unshown {
    fn into_response(self) -> Response {
        let (status, detail) = match self.0 {
            Problem::Client { status, detail } => (status, detail),
            Problem::Internal(error) => {
                tracing::error!("a page failed: {error:#}");
                let detail = "This is a fault of the platform, and it is in its log. Try again in a moment.";
                (StatusCode::INTERNAL_SERVER_ERROR, detail.to_owned())
            }
        };
        let title = status.canonical_reason().unwrap_or("Error");
        match (ErrorPage { title, detail: &detail }).render() {
            Ok(html) => (status, Html(html)).into_response(),
            Err(_) => (status, detail).into_response(),
        }
    }
}

/// Behind the login, so that nobody learns from it what exists.
pub(crate) async fn not_found(uri: Uri) -> Unshown {
    Problem::not_found(format!("there is no page at {}", uri.path())).into()
}

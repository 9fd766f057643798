//! The pages. Complete without a script; scripts only keep them current.

mod app;
mod build;
mod create;
mod home;
pub(crate) mod login;

use askama::Template;
use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use host::Problem;

use crate::Web;

/// Every page behind the login.
pub(crate) fn routes() -> [(&'static str, MethodRouter<Web>); 7] {
    [
        ("/", get(home::home)),
        ("/apps/new", get(create::form).post(create::send)),
        ("/apps/{app}", get(app::app)),
        ("/apps/{app}/deliveries", get(app::deliveries)),
        ("/apps/{app}/builds/{number}", get(build::build)),
        ("/apps/{app}/builds/{number}/summary", get(build::summary)),
        ("/logout", post(login::logout)),
    ]
}

pub(crate) fn router() -> Router<Web> {
    routes().into_iter().fold(Router::new(), |router, (path, method)| router.route(path, method))
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

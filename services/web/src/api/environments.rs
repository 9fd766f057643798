//! Environments: where an application's branches run.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use host::Problem;
use store::app::App;

use crate::auth::Caller;
use crate::{Web, environments, load, view};

#[derive(serde::Serialize, utoipa::ToSchema)]
pub(super) struct Environments {
    environments: Vec<view::Environment>,
}

/// Its environments, with the release that serves and the newest one
#[utoipa::path(get, path = "/apps/{app}/environments", security(("token" = ["read"])), params(("app" = String, Path)), responses(
    (status = OK, body = Environments),
))]
pub(super) async fn list(
    State(web): State<Web>,
    Extension(app): Extension<App>,
) -> Result<Json<Environments>, Problem> {
    Ok(Json(Environments { environments: load::environments(&web, &app).await? }))
}

/// Remove an environment: its pods, its address and its releases. Builds and images stay, and the next push makes it anew
#[utoipa::path(delete, path = "/apps/{app}/environments/{env}", security(("token" = ["push"])), params(
    ("app" = String, Path), ("env" = String, Path, description = "its name"),
), responses(
    (status = ACCEPTED, description = "it is being removed, which takes some seconds"),
    (status = NOT_FOUND, description = "there is no such environment"),
))]
pub(super) async fn remove(
    State(web): State<Web>,
    Extension(caller): Extension<Caller>,
    Extension(app): Extension<App>,
    Path((_, env)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    if environments::remove(&web, &caller, &app, &env).await? {
        return Ok(StatusCode::ACCEPTED);
    }
    Err(Problem::not_found(format!("{} has no environment called {env:?}", app.name)))
}

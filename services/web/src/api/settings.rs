//! Build secrets and build arguments. The value of a secret is written, and in no answer.

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use domain::setting::SettingKind;
use host::Problem;
use store::app::App;

use super::apps::invalid;
use crate::auth::Caller;
use crate::create::FieldError;
use crate::settings::{self, which};
use crate::{Web, load, view};

/// For which environment.
#[derive(serde::Deserialize, utoipa::IntoParams)]
pub(super) struct For {
    /// The name of one environment, which may be made later; every one that has none of its own when left out.
    env: Option<String>,
}

#[derive(serde::Serialize, utoipa::ToSchema)]
pub(super) struct Secrets {
    secrets: Vec<view::Secret>,
}

#[derive(serde::Serialize, utoipa::ToSchema)]
pub(super) struct Arguments {
    args: Vec<view::Argument>,
}

/// The names of its build secrets
#[utoipa::path(get, path = "/apps/{app}/secrets", security(("token" = ["admin"])), params(("app" = String, Path)), responses(
    (status = OK, body = Secrets),
))]
pub(super) async fn secrets(
    State(web): State<Web>,
    Extension(app): Extension<App>,
) -> Result<Json<Secrets>, Problem> {
    Ok(Json(Secrets { secrets: load::secrets(&web, &app).await? }))
}

/// Set a build secret: the body is its value, of 4 bytes to 500 KiB
///
/// A step reads it with `RUN --mount=type=secret,id=NAME`.
#[utoipa::path(put, path = "/apps/{app}/secrets/{name}", security(("token" = ["admin"])), params(
    ("app" = String, Path), ("name" = String, Path), For,
), request_body(content = String, content_type = "application/octet-stream"), responses(
    (status = NO_CONTENT, description = "builds that begin from now on get it"),
    (status = UNPROCESSABLE_ENTITY, description = "`errors` names each wrong field"),
))]
pub(super) async fn set_secret(
    State(web): State<Web>,
    Extension(caller): Extension<Caller>,
    Extension(app): Extension<App>,
    Path((_, name)): Path<(String, String)>,
    Query(of): Query<For>,
    value: Bytes,
) -> Result<Response, Problem> {
    let errors = settings::set_secret(&web, &caller, which(&app, &name, of.env.as_deref()), &value).await?;
    Ok(is_set(&errors))
}

/// Unset a build secret
#[utoipa::path(delete, path = "/apps/{app}/secrets/{name}", security(("token" = ["admin"])), params(
    ("app" = String, Path), ("name" = String, Path), For,
), responses(
    (status = NO_CONTENT, description = "builds that begin from now on do not get it"),
    (status = NOT_FOUND, description = "there is no such secret for this environment, or for all"),
))]
pub(super) async fn unset_secret(
    State(web): State<Web>,
    Extension(caller): Extension<Caller>,
    Extension(app): Extension<App>,
    Path((_, name)): Path<(String, String)>,
    Query(of): Query<For>,
) -> Result<StatusCode, Problem> {
    unset(&web, &caller, &app, SettingKind::Secret, &name, &of).await
}

/// Its build arguments
#[utoipa::path(get, path = "/apps/{app}/args", security(("token" = ["admin"])), params(("app" = String, Path)), responses(
    (status = OK, body = Arguments),
))]
pub(super) async fn args(
    State(web): State<Web>,
    Extension(app): Extension<App>,
) -> Result<Json<Arguments>, Problem> {
    Ok(Json(Arguments { args: load::args(&web, &app).await? }))
}

/// Set a build argument: the body is its value, one line of at most 4 KiB. Everybody who has the image can read it
#[utoipa::path(put, path = "/apps/{app}/args/{name}", security(("token" = ["admin"])), params(
    ("app" = String, Path), ("name" = String, Path), For,
), request_body(content = String, content_type = "text/plain"), responses(
    (status = NO_CONTENT, description = "builds that begin from now on get it"),
    (status = UNPROCESSABLE_ENTITY, description = "`errors` names each wrong field"),
))]
pub(super) async fn set_arg(
    State(web): State<Web>,
    Extension(caller): Extension<Caller>,
    Extension(app): Extension<App>,
    Path((_, name)): Path<(String, String)>,
    Query(of): Query<For>,
    value: Bytes,
) -> Result<Response, Problem> {
    let errors = settings::set_argument(&web, &caller, which(&app, &name, of.env.as_deref()), &value).await?;
    Ok(is_set(&errors))
}

/// Unset a build argument
#[utoipa::path(delete, path = "/apps/{app}/args/{name}", security(("token" = ["admin"])), params(
    ("app" = String, Path), ("name" = String, Path), For,
), responses(
    (status = NO_CONTENT, description = "builds that begin from now on do not get it"),
    (status = NOT_FOUND, description = "there is no such argument for this environment, or for all"),
))]
pub(super) async fn unset_arg(
    State(web): State<Web>,
    Extension(caller): Extension<Caller>,
    Extension(app): Extension<App>,
    Path((_, name)): Path<(String, String)>,
    Query(of): Query<For>,
) -> Result<StatusCode, Problem> {
    unset(&web, &caller, &app, SettingKind::Argument, &name, &of).await
}

fn is_set(errors: &[FieldError]) -> Response {
    if errors.is_empty() { StatusCode::NO_CONTENT.into_response() } else { invalid(errors) }
}

async fn unset(
    web: &Web,
    caller: &Caller,
    app: &App,
    kind: SettingKind,
    name: &str,
    of: &For,
) -> Result<StatusCode, Problem> {
    let which = which(app, name, of.env.as_deref());
    if settings::unset(web, caller, kind, which).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    let place = which.environment.map_or("for all environments".to_owned(), |env| format!("for {env:?}"));
    Err(Problem::not_found(format!("{} has no build {kind} {name:?} {place}", app.name)))
}

//! Applications, and what hangs on one: releases, deliveries.

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use host::Problem;
use store::app::App;

use crate::auth::Caller;
use crate::create::{self, FieldError, NewHook, Wanted};
use crate::{Web, load, view};

const RELEASES: i64 = 25;
const RELEASES_MAX: i64 = 100;

#[derive(serde::Serialize, utoipa::ToSchema)]
pub(super) struct Apps {
    apps: Vec<view::App>,
}

/// All applications that the token may see
#[utoipa::path(get, path = "/apps", security(("token" = ["read"])), responses((status = OK, body = Apps)))]
pub(super) async fn list(
    State(web): State<Web>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Apps>, Problem> {
    Ok(Json(Apps { apps: load::apps(&web, &caller).await? }))
}

/// The application, and how commits get here: a hook, whose secret is shown only here, or a remote to push to.
#[derive(serde::Serialize, utoipa::ToSchema)]
pub(super) struct Created {
    app: view::App,
    /// For the forge.
    hook: Option<NewHook>,
    /// For git, when there is no forge.
    remote: Option<String>,
}

/// Create an application
#[utoipa::path(post, path = "/apps", security(("token" = ["push"])), request_body = Wanted, responses(
    (status = CREATED, body = Created),
    (status = CONFLICT, description = "the name is taken"),
    (status = UNPROCESSABLE_ENTITY, description = "`errors` names each wrong field"),
))]
pub(super) async fn create(State(web): State<Web>, body: Bytes) -> Result<Response, Problem> {
    let wanted: Wanted = read(&body)?;
    let new = match create::check(&wanted) {
        Ok(new) => new,
        Err(errors) => return Ok(invalid(&errors)),
    };
    let Some((app, hook)) = create::create(&web, &new).await? else {
        let taken = format!("there is an application called {:?} already", wanted.name);
        return Err(Problem::client(StatusCode::CONFLICT, taken));
    };
    let app = load::app_view(&web, &app).await?;
    let location = [(header::LOCATION, format!("/api/v1/apps/{}", app.name))];
    Ok((StatusCode::CREATED, location, Json(Created { remote: app.remote.clone(), app, hook }))
        .into_response())
}

/// Bodies come as bytes, so that a wrong one gets a problem like every other fault.
pub(super) fn read<T: serde::de::DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| Problem::client(StatusCode::UNPROCESSABLE_ENTITY, format!("the body: {error}")))
}

/// A problem with one entry per wrong field.
pub(super) fn invalid(errors: &[FieldError]) -> Response {
    let all: Vec<String> = errors.iter().map(|error| format!("{}: {}", error.field, error.detail)).collect();
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    let problem = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": all.join("; "),
        "errors": errors,
    });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], Json(problem)).into_response()
}

/// One application
#[utoipa::path(get, path = "/apps/{app}", security(("token" = ["read"])), params(("app" = String, Path)), responses(
    (status = OK, body = view::App),
    (status = NOT_FOUND, description = "there is no such application"),
))]
pub(super) async fn show(
    State(web): State<Web>,
    Extension(app): Extension<App>,
) -> Result<Json<view::App>, Problem> {
    Ok(Json(load::app_view(&web, &app).await?))
}

#[derive(serde::Deserialize, utoipa::IntoParams)]
pub(super) struct Newest {
    /// At most 100.
    limit: Option<i64>,
}

#[derive(serde::Serialize, utoipa::ToSchema)]
pub(super) struct Releases {
    releases: Vec<view::Release>,
}

/// The newest releases of all its environments
#[utoipa::path(get, path = "/apps/{app}/releases", security(("token" = ["read"])), params(("app" = String, Path), Newest), responses(
    (status = OK, body = Releases),
))]
pub(super) async fn releases(
    State(web): State<Web>,
    Extension(app): Extension<App>,
    Query(newest): Query<Newest>,
) -> Result<Json<Releases>, Problem> {
    let limit = newest.limit.unwrap_or(RELEASES).clamp(1, RELEASES_MAX);
    Ok(Json(Releases { releases: load::releases(&web, &app, limit).await? }))
}

#[derive(serde::Serialize, utoipa::ToSchema)]
pub(super) struct Deliveries {
    deliveries: Vec<view::Delivery>,
}

/// The newest webhook deliveries and what was made of each
#[utoipa::path(get, path = "/apps/{app}/deliveries", security(("token" = ["read"])), params(("app" = String, Path)), responses(
    (status = OK, body = Deliveries),
))]
pub(super) async fn deliveries(
    State(web): State<Web>,
    Extension(app): Extension<App>,
) -> Result<Json<Deliveries>, Problem> {
    Ok(Json(Deliveries { deliveries: load::deliveries(&web, &app).await? }))
}

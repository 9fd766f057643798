//! `/api/v1`: the same views as the pages, as JSON. Durations are milliseconds, times RFC 3339 in UTC.
//! Routes and their description are one thing: `openapi.json` lists what is registered here.

mod apps;
mod builds;
mod log;

use axum::routing::get;
use axum::{Extension, Json, Router};
use host::Problem;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Web;
use crate::auth::Caller;

#[derive(OpenApi)]
#[openapi(info(
    title = "Slipway",
    version = "1",
    description = "Applications, their builds, releases and deliveries. Send a token as `Authorization: Bearer <token>`. \
                   Errors are problems (RFC 9457)."
))]
struct Description;

pub(crate) fn router() -> Router<Web> {
    let (router, description) = described().split_for_parts();
    router
        .route("/openapi.json", get(async move || Json(description)))
        .fallback(async || Problem::not_found("the API has no such path; see /api/v1/openapi.json"))
}

pub(crate) fn described() -> OpenApiRouter<Web> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(whoami))
        .routes(routes!(apps::list, apps::create))
        .routes(routes!(apps::show))
        .routes(routes!(apps::environments))
        .routes(routes!(apps::releases))
        .routes(routes!(apps::deliveries))
        .routes(routes!(builds::list))
        .routes(routes!(builds::show))
        .routes(routes!(log::lines))
        .routes(routes!(log::text))
        .routes(routes!(log::events))
}

#[derive(serde::Serialize, utoipa::ToSchema)]
struct Whoami {
    /// The name of the token that this request was made with.
    name: String,
}

/// Whose token this is
#[utoipa::path(get, path = "/whoami", responses((status = OK, body = Whoami)))]
async fn whoami(Extension(caller): Extension<Caller>) -> Json<Whoami> {
    Json(Whoami { name: caller.name })
}

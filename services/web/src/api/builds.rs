//! The build history, and one build with its steps.

use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use host::Problem;
use store::app::App;

use crate::{Web, load, view};

const BUILDS: i64 = 25;
const BUILDS_MAX: i64 = 100;

#[derive(serde::Deserialize, utoipa::IntoParams)]
pub(super) struct Older {
    /// Builds with a lower number than this.
    before: Option<i32>,
    /// At most 100.
    limit: Option<i64>,
}

#[derive(serde::Serialize, utoipa::ToSchema)]
pub(super) struct Builds {
    builds: Vec<view::Build>,
    /// The `before` of the next page, when there may be one.
    next: Option<i32>,
}

/// Its builds, newest first
#[utoipa::path(get, path = "/apps/{app}/builds", security(("token" = ["read"])), params(("app" = String, Path), Older), responses(
    (status = OK, body = Builds),
))]
pub(super) async fn list(
    State(web): State<Web>,
    Extension(app): Extension<App>,
    Query(older): Query<Older>,
) -> Result<Json<Builds>, Problem> {
    let limit = older.limit.unwrap_or(BUILDS).clamp(1, BUILDS_MAX);
    let builds = load::builds(&web, &app, older.before, limit).await?;
    // The first build is number 1.
    let next = builds.last().map(|last| last.number).filter(|last| *last > 1);
    Ok(Json(Builds { builds, next }))
}

#[derive(serde::Serialize, utoipa::ToSchema)]
pub(super) struct Detail {
    #[serde(flatten)]
    build: view::Build,
    steps: Vec<view::Step>,
    /// How many lines the log has by now.
    line_count: i64,
}

/// One build with its steps
#[utoipa::path(get, path = "/apps/{app}/builds/{number}", security(("token" = ["read"])),
    params(("app" = String, Path), ("number" = i32, Path)),
    responses((status = OK, body = Detail), (status = NOT_FOUND, description = "there is no such build")))]
pub(super) async fn show(
    State(web): State<Web>,
    Extension(app): Extension<App>,
    Path((_, number)): Path<(String, String)>,
) -> Result<Json<Detail>, Problem> {
    let row = load::build(&web, &app, &number).await?;
    Ok(Json(Detail {
        build: load::build_view(&web, &app, &row).await?,
        steps: load::steps(&web, &row).await?,
        line_count: store::log::line_count(&web.db, row.id).await?,
    }))
}

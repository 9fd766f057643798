//! The build history, and one build with its steps.

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use host::Problem;
use host::trace::parent;
use store::app::App;
use store::sbom::Standing;

use crate::auth::Caller;
use crate::rebuild::{self, Wish};
use crate::{Web, cancel, load, view};

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
    /// Where it stands in the queue, while it waits.
    queue: Option<view::Queue>,
    /// The numbers of the builds whose place it took.
    supersedes: Vec<i32>,
    steps: Vec<view::Step>,
    /// The images that it began from, with the digest that each name had then; known once it is built.
    bases: Vec<view::Base>,
    /// How many lines the log has by now.
    line_count: i64,
}

/// One build with its steps
#[utoipa::path(get, path = "/apps/{app}/builds/{number}", security(("token" = ["read"])),
    params(("app" = String, Path), ("number" = i32, Path)),
    responses((status = OK, body = Detail), (status = NOT_FOUND, description = "there is no such build")))]
pub(super) async fn show(
    State(web): State<Web>,
    Extension(caller): Extension<Caller>,
    Extension(app): Extension<App>,
    Path((_, number)): Path<(String, String)>,
) -> Result<Json<Detail>, Problem> {
    let row = load::build(&web, &app, &number).await?;
    Ok(Json(Detail {
        build: load::build_view(&web, &app, &row).await?,
        queue: load::queue(&web, &caller, &app, &row).await?,
        supersedes: store::build::supersedes(&web.db, row.id).await?,
        steps: load::steps(&web, &row).await?,
        bases: load::bases(&web, &row).await?,
        line_count: store::log::line_count(&web.db, row.id).await?,
    }))
}

/// Cancel a build: one that waits ends at once, one that runs is asked to stop, which takes its builder a moment
#[utoipa::path(post, path = "/apps/{app}/builds/{number}/cancel", security(("token" = ["push"])),
    params(("app" = String, Path), ("number" = i32, Path)),
    responses(
        (status = OK, body = view::Build, description = "it is cancelled, or still running with `cancelled_at`"),
        (status = NOT_FOUND, description = "there is no such build"),
        (status = CONFLICT, description = "it is too late; the problem says what to do instead"),
    ))]
pub(super) async fn cancel(
    State(web): State<Web>,
    Extension(caller): Extension<Caller>,
    Extension(app): Extension<App>,
    Path((_, number)): Path<(String, String)>,
) -> Result<Json<view::Build>, Problem> {
    let row = cancel::cancel(&web, &caller, &app, &number).await?;
    Ok(Json(load::build_view(&web, &app, &row).await?))
}

/// Build its commit again for the same environment, with the secrets and settings of now; other pushes come first
#[utoipa::path(post, path = "/apps/{app}/builds/{number}/rebuild", security(("token" = ["push"])),
    params(("app" = String, Path), ("number" = i32, Path), Wish),
    responses(
        (status = CREATED, body = view::Build, description = "the new build"),
        (status = NOT_FOUND, description = "there is no such build"),
        (status = CONFLICT, description = "its branch is another commit by now, or is being built; the problem says what to do"),
    ))]
pub(super) async fn rebuild(
    State(web): State<Web>,
    Extension(caller): Extension<Caller>,
    Extension(app): Extension<App>,
    Path((_, number)): Path<(String, String)>,
    Query(wish): Query<Wish>,
    headers: HeaderMap,
) -> Result<(StatusCode, Json<view::Build>), Problem> {
    let row = rebuild::rebuild(&web, &caller, &app, &number, wish, parent::of(&headers)).await?;
    Ok((StatusCode::CREATED, Json(load::build_view(&web, &app, &row).await?)))
}

/// How its image was made: the SLSA provenance that is attested beside the image in the registry
#[utoipa::path(get, path = "/apps/{app}/builds/{number}/provenance", security(("token" = ["read"])),
    params(("app" = String, Path), ("number" = i32, Path)),
    responses(
        (status = OK, body = serde_json::Value, description = "a predicate of type https://slsa.dev/provenance/v1"),
        (status = NOT_FOUND, description = "there is no such build, or it made no image"),
    ))]
pub(super) async fn provenance(
    State(web): State<Web>,
    Extension(app): Extension<App>,
    Path((_, number)): Path<(String, String)>,
) -> Result<Json<serde_json::Value>, Problem> {
    let row = load::build(&web, &app, &number).await?;
    let predicate = store::provenance::of_build(&web.db, row.id).await?;
    predicate.map(Json).ok_or_else(|| {
        Problem::not_found(format!(
            "#{} of {} has no provenance: only builds that made an image have",
            row.number, app.name
        ))
    })
}

/// What is in its image: the packages with their versions and licences, as SPDX 2.3. It is made some seconds after the release
#[utoipa::path(get, path = "/apps/{app}/builds/{number}/sbom", security(("token" = ["read"])),
    params(("app" = String, Path), ("number" = i32, Path)),
    responses(
        (status = OK, content_type = "application/spdx+json", body = serde_json::Value),
        (status = NOT_FOUND, description = "there is no such build or no image, or it is not made yet; the problem says which"),
    ))]
pub(super) async fn sbom(
    State(web): State<Web>,
    Extension(app): Extension<App>,
    Path((_, number)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let row = load::build(&web, &app, &number).await?;
    let why = match store::sbom::of_build(&web.db, row.id).await? {
        Some(Standing::Made(document)) => {
            return Ok(([(header::CONTENT_TYPE, "application/spdx+json")], document).into_response());
        }
        Some(Standing::Wanted(None)) => {
            "is not made yet: that begins some seconds after the release, when nothing is built; ask again"
                .to_owned()
        }
        Some(Standing::Wanted(Some(fault))) => {
            format!("could not be made yet, and is tried again: {fault}")
        }
        Some(Standing::GivenUp(fault)) => format!("could not be made: {fault}"),
        Some(Standing::Gone) => "went with its image, which was garbage and is no longer there".to_owned(),
        None => "is not there: only builds that made an image have one".to_owned(),
    };
    Err(Problem::not_found(format!("the SBOM of #{} of {} {why}", row.number, app.name)))
}

//! The log of a build: a range of lines, the whole as text, and everything of a build as it happens.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures::{StreamExt as _, stream};
use host::Problem;
use store::app::App;
use store::log::Extent;

use crate::follow::{Change, follow, written};
use crate::{Web, load, view};

const LINES: usize = 1000;
const LINES_MAX: usize = 10_000;
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Browsers wait so long before they connect again.
const RETRY: Duration = Duration::from_secs(1);
/// Proxies that gather answers would hold a stream back.
const UNBUFFERED: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

#[derive(serde::Deserialize, utoipa::IntoParams)]
pub(super) struct Range {
    /// The number of the first line; lines are numbered from 0.
    #[serde(default)]
    from: i64,
    /// At most 10000; there may be fewer when they are long.
    limit: Option<usize>,
}

#[derive(serde::Serialize, utoipa::ToSchema)]
pub(super) struct Lines {
    lines: Vec<view::Line>,
    /// The number of the line after these.
    next: i64,
    /// How many lines the log has by now.
    line_count: i64,
    /// Lines that were left out, because the log is too long, and their bytes. The log says where.
    dropped_lines: i64,
    dropped_bytes: i64,
    /// The log is older than logs are kept.
    is_expired: bool,
}

/// Lines of its log
#[utoipa::path(get, path = "/apps/{app}/builds/{number}/log", security(("token" = ["read"])),
    params(("app" = String, Path), ("number" = i32, Path), Range), responses((status = OK, body = Lines)))]
pub(super) async fn lines(
    State(web): State<Web>,
    Extension(app): Extension<App>,
    Path((_, number)): Path<(String, String)>,
    Query(range): Query<Range>,
) -> Result<Json<Lines>, Problem> {
    let build = load::build(&web, &app, &number).await?;
    let limit = range.limit.unwrap_or(LINES).clamp(1, LINES_MAX);
    let lines = load::lines(&web, &build, range.from, limit).await?;
    let next = lines.last().map_or(range.from.max(0), |line| line.number + 1);
    let Extent { line_count, dropped, is_expired, .. } = store::log::extent(&web.db, build.id).await?;
    let (dropped_lines, dropped_bytes) = (dropped.lines, dropped.bytes);
    Ok(Json(Lines { lines, next, line_count, dropped_lines, dropped_bytes, is_expired }))
}

/// Its whole log as it was written; goes on while the build runs
///
/// The bytes are those that the steps wrote, terminal escapes included; they need not be text.
#[utoipa::path(get, path = "/apps/{app}/builds/{number}/log.txt", security(("token" = ["read"])),
    params(("app" = String, Path), ("number" = i32, Path)),
    responses((status = OK, content_type = "text/plain", body = String)))]
pub(super) async fn text(
    State(web): State<Web>,
    Extension(app): Extension<App>,
    Path((_, number)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let build = load::build(&web, &app, &number).await?;
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), UNBUFFERED];
    Ok((headers, Body::from_stream(written(web, build))).into_response())
}

/// Everything of a build as it happens, as server-sent events
///
/// `line`, `step` and `state` carry a line, a step and the build; `end` carries the build after everything else.
/// The id of a line is the number to go on from: a client that lost the connection sends it as `Last-Event-ID`.
#[utoipa::path(get, path = "/apps/{app}/builds/{number}/events", security(("token" = ["read"])),
    params(("app" = String, Path), ("number" = i32, Path), Range),
    responses((status = OK, content_type = "text/event-stream", body = String)))]
pub(super) async fn events(
    State(web): State<Web>,
    Extension(app): Extension<App>,
    Path((_, number)): Path<(String, String)>,
    Query(range): Query<Range>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let build = load::build(&web, &app, &number).await?;
    let resumed = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
    let changes = follow(web, app, build, resumed.unwrap_or(range.from));
    let events = changes.flat_map(|batch| stream::iter(batch).map(|change| event(&change)));
    let hello = stream::once(async { Ok(Event::default().retry(RETRY)) });
    let sse = Sse::new(hello.chain(events)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    Ok(([UNBUFFERED], sse).into_response())
}

fn event(change: &Change) -> Result<Event, axum::Error> {
    match change {
        Change::Line(line) => {
            Event::default().event("line").id((line.number + 1).to_string()).json_data(line)
        }
        Change::Step(step) => Event::default().event("step").json_data(step),
        Change::State(build) => Event::default().event("state").json_data(build),
        Change::End(build) => Event::default().event("end").json_data(build),
    }
}

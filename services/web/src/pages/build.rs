//! One build: how it stands, why it failed, its steps on a time axis, and a stretch of its log.

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::Redirect;
use domain::scope::Scope;
use jiff::Timestamp;
use store::Time;
use store::app::App;
use store::log::Extent;

use super::{Page, Unshown, page};
use crate::auth::Caller;
use crate::rebuild::{self, Wish};
use crate::view::{self, Bar, text};
use crate::{Web, cancel, load};

/// A page shows so many lines; the links before and after them, and `log.txt`, lead to the rest.
const LINES: i64 = 1000;

/// Everything but the log. The script asks for it anew when the build has changed.
#[derive(Template)]
#[template(path = "summary.html")]
struct Summary {
    app: String,
    build: view::Build,
    steps: Vec<(view::Step, Option<Bar>)>,
    bases: Vec<view::Base>,
    /// It is known what is in its image.
    has_sbom: bool,
    queue: Option<view::Queue>,
    /// The numbers of the builds whose place it took.
    supersedes: Vec<i32>,
    may_cancel: bool,
    may_rebuild: bool,
    /// The version that serves meanwhile, when this one does not.
    serving: Option<i32>,
}

#[derive(Template)]
#[template(path = "build.html")]
struct BuildPage {
    summary: Summary,
    lines: Vec<view::Line>,
    /// The number of the first line shown.
    from: i64,
    line_count: i64,
    /// Lines that the log is too long for.
    dropped_lines: i64,
    /// The log is older than logs are kept.
    is_expired: bool,
}

impl Summary {
    fn has_attempts(&self) -> bool {
        self.build.attempt > 1
    }
}

impl BuildPage {
    /// The first line of the stretch before this one.
    fn before(&self) -> i64 {
        (self.from - LINES).max(0)
    }

    /// The first line after this stretch.
    fn next(&self) -> i64 {
        self.lines.last().map_or(self.from, |line| line.number + 1)
    }

    fn is_at_end(&self) -> bool {
        self.next() >= self.line_count
    }
}

async fn load_summary(
    web: &Web,
    caller: &Caller,
    app: App,
    number: &str,
) -> Result<(store::build::Build, Summary), Unshown> {
    let row = load::build(web, &app, number).await?;
    let build = load::build_view(web, &app, &row).await?;
    let steps = load::steps(web, &row).await?;
    let bases = load::bases(web, &row).await?;
    let has_sbom = store::sbom::is_made(&web.db, row.id).await?;
    let queue = load::queue(web, caller, &app, &row).await?;
    let supersedes = store::build::supersedes(&web.db, row.id).await?;
    let may_push = caller.0.allows(Some(app.id), Scope::Push);
    let may_cancel = may_push && build.can_be_cancelled();
    let may_rebuild = may_push && build.can_be_rebuilt();
    let bars = view::bars(&steps, Time(Timestamp::now()));
    let environments = load::environments(web, &app).await?;
    let serving = environments.into_iter().find(|it| it.name == build.environment).and_then(|it| it.live);
    let serving =
        serving.map(|it| it.version).filter(|it| Some(*it) != build.release.as_ref().map(|it| it.version));
    let steps = steps.into_iter().zip(bars).collect();
    Ok((
        row,
        Summary {
            app: app.name,
            build,
            steps,
            bases,
            has_sbom,
            queue,
            supersedes,
            may_cancel,
            may_rebuild,
            serving,
        },
    ))
}

pub(super) async fn summary(
    State(web): State<Web>,
    Extension(caller): Extension<Caller>,
    Extension(app): Extension<App>,
    Path((_, number)): Path<(String, String)>,
) -> Page {
    page(&load_summary(&web, &caller, app, &number).await?.1)
}

pub(super) async fn cancel(
    State(web): State<Web>,
    Extension(caller): Extension<Caller>,
    Extension(app): Extension<App>,
    Path((_, number)): Path<(String, String)>,
) -> Result<Redirect, Unshown> {
    let row = cancel::cancel(&web, &caller, &app, &number).await?;
    Ok(Redirect::to(&format!("/apps/{}/builds/{}", app.name, row.number)))
}

/// Leads to the new build.
pub(super) async fn rebuild(
    State(web): State<Web>,
    Extension(caller): Extension<Caller>,
    Extension(app): Extension<App>,
    Path((_, number)): Path<(String, String)>,
    Query(wish): Query<Wish>,
) -> Result<Redirect, Unshown> {
    let row = rebuild::rebuild(&web, &caller, &app, &number, wish, None).await?;
    Ok(Redirect::to(&format!("/apps/{}/builds/{}", app.name, row.number)))
}

#[derive(serde::Deserialize)]
pub(super) struct Stretch {
    from: Option<i64>,
}

/// Without `from` the last lines: they are what is asked for while it runs, and where it failed.
pub(super) async fn build(
    State(web): State<Web>,
    Extension(caller): Extension<Caller>,
    Extension(app): Extension<App>,
    Path((_, number)): Path<(String, String)>,
    Query(stretch): Query<Stretch>,
) -> Page {
    let (row, summary) = load_summary(&web, &caller, app, &number).await?;
    let Extent { line_count, dropped, is_expired, .. } = store::log::extent(&web.db, row.id).await?;
    let from = stretch.from.unwrap_or(line_count - LINES).max(0);
    let lines = load::lines(&web, &row, from, usize::try_from(LINES).unwrap_or_default()).await?;
    // Lines that came since they were counted are followed.
    let line_count = line_count.max(lines.last().map_or(0, |line| line.number + 1));
    page(&BuildPage { summary, lines, from, line_count, dropped_lines: dropped.lines, is_expired })
}

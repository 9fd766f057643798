//! One build: how it stands, why it failed, its steps on a time axis, and a stretch of its log.

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query, State};
use jiff::Timestamp;
use store::Time;
use store::app::App;

use super::{Page, page};
use crate::view::{self, Bar, text};
use crate::{Web, load};

/// A page shows so many lines; the links before and after them, and `log.txt`, lead to the rest.
const LINES: i64 = 1000;

/// Everything but the log. The script asks for it anew when the build has changed.
#[derive(Template)]
#[template(path = "summary.html")]
struct Summary {
    app: String,
    build: view::Build,
    steps: Vec<(view::Step, Option<Bar>)>,
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
    app: App,
    number: &str,
) -> Result<(store::build::Build, Summary), super::Unshown> {
    let row = load::build(web, &app, number).await?;
    let build = load::build_view(web, &app, &row).await?;
    let steps = load::steps(web, &row).await?;
    let bars = view::bars(&steps, Time(Timestamp::now()));
    let environments = load::environments(web, &app).await?;
    let serving = environments.into_iter().find(|it| it.name == build.environment).and_then(|it| it.live);
    let serving =
        serving.map(|it| it.version).filter(|it| Some(*it) != build.release.as_ref().map(|it| it.version));
    let steps = steps.into_iter().zip(bars).collect();
    Ok((row, Summary { app: app.name, build, steps, serving }))
}

pub(super) async fn summary(
    State(web): State<Web>,
    Extension(app): Extension<App>,
    Path((_, number)): Path<(String, String)>,
) -> Page {
    page(&load_summary(&web, app, &number).await?.1)
}

#[derive(serde::Deserialize)]
pub(super) struct Stretch {
    from: Option<i64>,
}

/// Without `from` the last lines: they are what is asked for while it runs, and where it failed.
pub(super) async fn build(
    State(web): State<Web>,
    Extension(app): Extension<App>,
    Path((_, number)): Path<(String, String)>,
    Query(stretch): Query<Stretch>,
) -> Page {
    let (row, summary) = load_summary(&web, app, &number).await?;
    let line_count = store::log::line_count(&web.db, row.id).await?;
    let from = stretch.from.unwrap_or(line_count - LINES).max(0);
    let lines = load::lines(&web, &row, from, usize::try_from(LINES).unwrap_or_default()).await?;
    // Lines that came since they were counted are followed.
    let line_count = line_count.max(lines.last().map_or(0, |line| line.number + 1));
    page(&BuildPage { summary, lines, from, line_count })
}

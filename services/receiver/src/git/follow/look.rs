//! One look at a build's rows, and what of them is news.

use std::time::Duration;

use anyhow::Result;
use domain::push_options::Wait;
use domain::reason::{Reason, ReasonCode};
use domain::state::{BuildState, ReleaseState};
use sqlx::PgPool;
use store::Time;
use store::build::{Build, Image};
use store::log::{Logs, Page, Step};
use store::queue::standing::{self, Standing, Why};
use store::release::Release as Row;
use uuid::Uuid;

use super::order::Order;
use crate::git::narrate::{End, Event, Release};

/// Text that is read at once: what one view holds of a log, but for one chunk.
const PAGE_BYTES: i64 = 128 << 10;

/// What was told by now.
#[derive(Debug, Default)]
pub(super) struct Seen {
    next_line: i64,
    order: Order,
    /// All lines, of a build that has ended.
    has_whole_log: bool,
    /// Position, what it waits for, and attempts begun.
    standing: Option<(i64, Why, i32)>,
    has_begun: bool,
    builds: bool,
    is_built: bool,
    release: Option<Release>,
}

/// What one look found.
#[derive(Debug)]
pub(super) struct Look {
    build: Build,
    /// It waits.
    standing: Option<Standing>,
    /// `None`: nobody wants to see it, or all of it was seen.
    log: Option<(Vec<Step>, Page)>,
    image: Option<Image>,
    new_bytes: Option<i64>,
    release: Option<Row>,
    newer: Newer,
}

/// What took the place of a build or its release.
#[derive(Clone, Copy, Debug, Default)]
struct Newer {
    build: Option<i32>,
    version: Option<i32>,
}

impl Look {
    pub(super) fn has_more(&self) -> bool {
        self.log.as_ref().is_some_and(|(_, page)| !page.is_last)
    }
}

/// `None`: the build is gone. The build is read before its lines: when it has ended, its lines are all there.
pub(super) async fn look(db: &PgPool, id: Uuid, wait: Wait, seen: &Seen) -> Result<Option<Look>> {
    let Some(build) = store::build::get(db, id).await? else { return Ok(None) };
    let state = build.state.0;
    let standing = if state.is_final() { None } else { standing::of_build(db, id).await? };
    let log = if wait == Wait::Queued || seen.has_whole_log { None } else { Some(log(db, id, seen).await?) };
    let is_built = state == BuildState::Succeeded;
    let image = if is_built && !seen.is_built { store::build::image_of(db, id).await? } else { None };
    let new_bytes = if image.is_some() { store::layers::new_bytes(db, id).await? } else { None };
    let release = if is_built { store::release::of_build(db, id).await? } else { None };
    let newer = newer(db, &build, release.as_ref()).await?;
    Ok(Some(Look { build, standing, log, image, new_bytes, release, newer }))
}

/// A line's step is there when the line is: both come in one transaction.
async fn log(db: &PgPool, id: Uuid, seen: &Seen) -> Result<(Vec<Step>, Page)> {
    let mut steps = store::log::steps(db, id).await?;
    // A build that is looked at here is too young for its log to be anywhere else.
    let logs = Logs { db: db.clone(), archive: None };
    let page = store::log::page(&logs, id, seen.next_line, PAGE_BYTES).await?;
    let is_known = |step: i32| step == 0 || steps.iter().any(|it| it.number == step);
    if !page.lines.iter().all(|line| is_known(line.step)) {
        steps = store::log::steps(db, id).await?;
    }
    Ok((steps, page))
}

async fn newer(db: &PgPool, build: &Build, release: Option<&Row>) -> Result<Newer> {
    let mut newer = Newer::default();
    if let Some(id) = build.superseded_by {
        newer.build = store::build::get(db, id).await?.map(|it| it.number);
    }
    if let Some(release) = release.filter(|it| it.state.0 == ReleaseState::Superseded) {
        let newest = store::release::list(db, release.environment_id, 1).await?.pop();
        newer.version = newest.map(|it| it.version).filter(|version| *version > release.version);
    }
    Ok(newer)
}

/// What is new since the looks before.
pub(super) fn tell(seen: &mut Seen, wait: Wait, look: Look) -> Vec<Event> {
    let Look { build, standing, log, image, new_bytes, release, newer } = look;
    let is_final = build.state.0.is_final();
    let mut events = Vec::new();
    let waits_again = standing.is_some() && seen.has_begun;
    if build.started_at.is_some() && !seen.builds && !waits_again {
        (seen.has_begun, seen.builds) = (true, true);
        events.push(Event::Builds);
    }
    if let Some((steps, page)) = log {
        seen.next_line = page.lines.last().map_or(seen.next_line, |line| line.number + 1);
        events.extend(seen.order.arrange(&steps, page.lines, page.is_last));
        seen.has_whole_log = is_final && page.is_last;
        if !page.is_last {
            return events;
        }
    }
    let key = standing.as_ref().map(|it| (it.position, it.why.clone(), it.attempt));
    let is_news = seen.standing != key;
    seen.standing = key;
    if let Some(standing) = standing.filter(|_| is_news) {
        seen.builds = false;
        events.push(Event::Waits(standing));
    }
    if build.state.0 == BuildState::Succeeded && !seen.is_built {
        seen.is_built = true;
        let took = between(build.started_at, build.finished_at);
        events.push(Event::Built { took, image, new_bytes });
    }
    if let Some(row) = release.as_ref().filter(|_| wait == Wait::Live) {
        events.extend(news_of_release(seen, row));
    }
    events.extend(end(wait, &build, release.as_ref(), newer).map(Event::End));
    events
}

/// That it began to roll out is told also to who sees it only when that is over.
fn news_of_release(seen: &mut Seen, row: &Row) -> Option<Event> {
    let is_rolling = row.started_at.is_some();
    if seen.release.as_ref().is_some_and(|told| told.is_rolling || !is_rolling) {
        return None;
    }
    let release =
        Release { version: row.version, is_rolling, port: row.port, health_path: row.health_path.clone() };
    seen.release = Some(release.clone());
    Some(Event::Release(release))
}

/// How it ended, for those who wait so long.
fn end(wait: Wait, build: &Build, release: Option<&Row>, newer: Newer) -> Option<End> {
    match build.state.0 {
        BuildState::Queued | BuildState::Running => (wait == Wait::Queued).then_some(End::Queued),
        BuildState::Failed => Some(End::Failed(reason(build.reason.as_deref()))),
        BuildState::Superseded => Some(End::Superseded { by: newer.build }),
        BuildState::Cancelled => Some(End::Cancelled { by: build.cancelled_by.clone() }),
        BuildState::Succeeded if wait != Wait::Live => Some(End::Built),
        // Both were recorded at once: its environment was removed meanwhile.
        BuildState::Succeeded => match release {
            Some(release) => end_of_release(build, release, newer.version),
            None => Some(End::Gone),
        },
    }
}

fn end_of_release(build: &Build, release: &Row, newer: Option<i32>) -> Option<End> {
    let version = release.version;
    let live =
        |is_replaced| End::Live { after: between(Some(build.created_at), release.finished_at), is_replaced };
    match release.state.0 {
        ReleaseState::Queued | ReleaseState::Rolling => None,
        ReleaseState::Live => Some(live(false)),
        ReleaseState::Replaced => Some(live(true)),
        ReleaseState::Failed => {
            Some(End::ReleaseFailed { version, reason: reason(release.reason.as_deref()) })
        }
        ReleaseState::Superseded => Some(End::ReleaseSuperseded { version, by: newer }),
    }
}

fn reason(known: Option<&Reason>) -> Reason {
    known.cloned().unwrap_or_else(|| Reason::new(ReasonCode::Internal, "no reason was recorded"))
}

fn between(start: Option<Time>, end: Option<Time>) -> Duration {
    Duration::from_millis(start.zip(end).map_or(0, |(start, end)| end.since_ms(start)))
}

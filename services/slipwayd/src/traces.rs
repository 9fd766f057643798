//! Tells a collector each push from its arrival to its end. Unless it goes on from somebody else's trace, the build's id is
//! the trace's, so whoever sees a build finds its trace. The ids of spans follow from the build's, so that several pushes
//! may be in one trace; and a trace that was sent twice, after a crash between sending and noting it, is the same one.

use std::time::Duration;

use anyhow::{Context as _, Result};
use host::trace::parent::{self, Parent};
use host::trace::{self, Span, TraceId};
use reqwest::Client;
use sqlx::PgPool;
use store::Time;
use store::log::Step;
use store::traced::{self, Traced};
use tokio_util::sync::CancellationToken;
use url::Url;

const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The collector is asked again.
const PAUSE: Duration = Duration::from_secs(20);
const AT_ONCE: i64 = 50;
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Sends until `shutdown`.
pub(crate) async fn run(endpoint: Url, db: PgPool, shutdown: CancellationToken) -> Result<()> {
    let http = Client::builder().timeout(ANSWER_MAX).build().context("making an HTTP client")?;
    loop {
        let pause = match send_due(&http, endpoint.as_str(), &db).await {
            Ok(()) => LOOK_EVERY,
            Err(error) => {
                tracing::warn!("no traces for now: {error:#}");
                PAUSE
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn send_due(http: &Client, endpoint: &str, db: &PgPool) -> Result<()> {
    for build in traced::due(db, AT_ONCE).await? {
        let steps = store::log::steps(db, build.id).await?;
        let parent = build.trace_parent.as_deref().and_then(parent::parse);
        let trace = parent.map_or(TraceId(build.id.as_u128()), |it| it.trace);
        trace::send(http, endpoint, trace, &spans(&build, &steps, parent)).await?;
        traced::sent(db, build.id).await?;
    }
    Ok(())
}

const ROOT: u64 = 1;
const QUEUE: u64 = 2;
const BUILD: u64 = 3;
const RELEASE: u64 = 4;
const ROLL_OUT: u64 = 5;
/// Steps follow, by their numbers.
const STEPS: u64 = 1000;

/// Pure.
fn spans(build: &Traced, steps: &[Step], parent: Option<Parent>) -> Vec<Span> {
    let end = build.roll_out_finished_at.unwrap_or(build.finished_at);
    let outcome = build.release_state.as_ref().unwrap_or(&build.state);
    let mut root = span(ROOT, None, format!("push {}", build.app), build.created_at, end);
    root.error.clone_from(&build.why);
    root.attributes = vec![
        ("slipway.app", build.app.clone()),
        ("slipway.build", build.number.to_string()),
        ("slipway.environment", build.environment.clone()),
        ("slipway.outcome", outcome.clone()),
        ("vcs.ref.head.name", build.branch.clone()),
        ("vcs.ref.head.revision", build.commit.clone()),
    ];
    let waited_until = build.started_at.unwrap_or(build.finished_at);
    let mut spans = vec![root, child(QUEUE, "queue", build.created_at, waited_until)];
    if let Some(started) = build.started_at {
        let mut building = child(BUILD, "build", started, build.finished_at);
        building.error = build.why.clone().filter(|_| build.state == "failed");
        spans.push(building);
        spans.extend(steps.iter().filter_map(of_step));
    }
    if let (Some(started), Some(finished)) = (build.roll_out_started_at, build.roll_out_finished_at) {
        spans.push(child(RELEASE, "wait for the roll-out", build.finished_at, started));
        let mut rolling = child(ROLL_OUT, "roll-out", started, finished);
        rolling.error = build.why.clone().filter(|_| outcome == "failed");
        spans.push(rolling);
    }
    // The half of the build's id that is random, and never as small or as large as to lead to 0.
    let (_, base) = build.id.as_u64_pair();
    for span in &mut spans {
        span.id = base.wrapping_add(span.id);
        span.parent = span.parent.map(|id| base.wrapping_add(id)).or(parent.map(|it| it.span));
    }
    spans
}

/// A step that never ran, because it was cached, has no times.
fn of_step(step: &Step) -> Option<Span> {
    let id = STEPS + u64::try_from(step.number).ok()?;
    let mut span = span(id, Some(BUILD), step.name.clone(), step.started_at?, step.completed_at?);
    span.error.clone_from(&step.error);
    span.attributes =
        vec![("slipway.attempt", step.attempt.to_string()), ("slipway.cached", step.cached.to_string())];
    Some(span)
}

fn child(id: u64, name: &str, start: Time, end: Time) -> Span {
    span(id, Some(ROOT), name.to_owned(), start, end)
}

fn span(id: u64, parent: Option<u64>, name: String, start: Time, end: Time) -> Span {
    let (start_ns, end_ns) = (start.0.as_nanosecond(), end.0.as_nanosecond());
    Span { id, parent, name, start_ns, end_ns, attributes: Vec::new(), error: None }
}

#[cfg(test)]
mod tests;

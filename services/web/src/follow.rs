//! A build as it happens: what changed since the last look, until it has ended. Behind the events and the growing log.
//!
//! Rings only say "look again"; what is sent is read from the store, so a lost ring loses nothing.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use futures::{Stream, stream};
use store::app::App;
use store::build::Build;
use store::rings::Waiter;

use crate::view::{self, Line, Step};
use crate::{Web, load};

const LINES_AT_ONCE: usize = 1000;

#[derive(Debug)]
pub(crate) enum Change {
    Line(Line),
    Step(Step),
    /// The build or its release stands differently.
    State(Box<view::Build>),
    /// Nothing follows; how it ended.
    End(Box<view::Build>),
}

/// Where a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// With the last line of the build.
    Built,
    /// When its release has ended too.
    Settled,
}

struct Follower {
    web: Web,
    app: App,
    build: Build,
    until: Until,
    waiter: Waiter,
    next_line: i64,
    steps: HashMap<i32, Step>,
    told: Option<view::Build>,
    /// The last look found all that could be read at once: there may be more.
    is_behind: bool,
    is_over: bool,
}

/// Changes from line `from` on, in batches. Ends without [`Change::End`] when this process stops or the database is away:
/// whoever follows asks again from where they are.
pub(crate) fn follow(
    web: Web,
    app: App,
    build: Build,
    from: i64,
    until: Until,
) -> impl Stream<Item = Vec<Change>> + Send + 'static {
    let follower = Follower {
        waiter: web.rings.of(build.id),
        web,
        app,
        build,
        until,
        next_line: from.max(0),
        steps: HashMap::new(),
        told: None,
        is_behind: true,
        is_over: false,
    };
    stream::unfold(follower, |mut follower| async {
        let batch = next(&mut follower).await?;
        Some((batch, follower))
    })
}

async fn next(follower: &mut Follower) -> Option<Vec<Change>> {
    while !follower.is_over {
        if !follower.is_behind {
            let shutdown = follower.web.shutdown.clone();
            tokio::select! {
                () = follower.waiter.wait() => {}
                () = shutdown.cancelled() => return None,
            }
        }
        match look(follower).await {
            Ok(batch) if batch.is_empty() => {}
            Ok(batch) => return Some(batch),
            Err(error) => {
                tracing::warn!("following build #{}: {error:#}", follower.build.number);
                return None;
            }
        }
    }
    None
}

/// The build is read before its lines: when it has ended, its lines are all there.
async fn look(follower: &mut Follower) -> Result<Vec<Change>> {
    let Follower { web, app, .. } = &*follower;
    let build = store::build::get(&web.db, follower.build.id).await?.context("the build is gone")?;
    let view = load::build_view(web, app, &build).await?;
    let steps = load::steps(web, &build).await?;
    let lines = load::lines(web, &build, follower.next_line, LINES_AT_ONCE).await?;

    follower.is_behind = lines.len() == LINES_AT_ONCE;
    let mut batch = Vec::with_capacity(lines.len());
    for step in steps {
        if follower.steps.insert(step.number, step.clone()).as_ref() != Some(&step) {
            batch.push(Change::Step(step));
        }
    }
    follower.next_line = lines.last().map_or(follower.next_line, |line| line.number + 1);
    batch.extend(lines.into_iter().map(Change::Line));
    if follower.told.as_ref() != Some(&view) {
        batch.push(Change::State(Box::new(view.clone())));
        follower.told = Some(view.clone());
    }
    let has_ended = match follower.until {
        Until::Built => build.state.0.is_final(),
        Until::Settled => view.status.is_final(),
    };
    if has_ended && !follower.is_behind {
        batch.push(Change::End(Box::new(view)));
        follower.is_over = true;
    }
    Ok(batch)
}

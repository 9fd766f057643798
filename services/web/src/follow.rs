//! A build as it happens: what changed since the last look, until it has ended. Behind the events and the growing log.
//!
//! Rings only say "look again"; what is sent is read from the store, so a lost ring loses nothing.

use std::collections::HashMap;
use std::convert::Infallible;

use anyhow::{Context as _, Result};
use axum::body::Bytes;
use futures::{Stream, stream};
use store::app::App;
use store::build::Build;
use store::log::Raw;
use store::rings::Waiter;

use crate::view::{self, Line, Step};
use crate::{Web, load};

/// Text that is read at once: what one follower holds of a log, but for one chunk.
const PAGE_BYTES: i64 = 256 << 10;

#[derive(Debug)]
pub(crate) enum Change {
    Line(Line),
    Step(Step),
    /// The build or its release stands differently.
    State(Box<view::Build>),
    /// Nothing follows; how it ended.
    End(Box<view::Build>),
}

struct Follower {
    web: Web,
    app: App,
    build: Build,
    waiter: Waiter,
    next_line: i64,
    steps: HashMap<i32, Step>,
    told: Option<view::Build>,
    /// The last look found all that could be read at once: there may be more.
    is_behind: bool,
    is_over: bool,
}

/// Changes from line `from` on, in batches, until the build and its release have ended. Ends without [`Change::End`] when this process stops or the database is away:
/// whoever follows asks again from where they are.
pub(crate) fn follow(
    web: Web,
    app: App,
    build: Build,
    from: i64,
) -> impl Stream<Item = Vec<Change>> + Send + 'static {
    let follower = Follower {
        waiter: web.rings.of(build.id),
        web,
        app,
        build,
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
    let page = store::log::page(&web.logs, build.id, follower.next_line, PAGE_BYTES).await?;

    follower.is_behind = !page.is_last;
    let mut batch = Vec::with_capacity(page.lines.len());
    for step in steps {
        if follower.steps.insert(step.number, step.clone()).as_ref() != Some(&step) {
            batch.push(Change::Step(step));
        }
    }
    follower.next_line = page.lines.last().map_or(follower.next_line, |line| line.number + 1);
    batch.extend(page.lines.into_iter().map(|line| Change::Line(line.into())));
    if follower.told.as_ref() != Some(&view) {
        batch.push(Change::State(Box::new(view.clone())));
        follower.told = Some(view.clone());
    }
    if view.status.is_final() && !follower.is_behind {
        batch.push(Change::End(Box::new(view)));
        follower.is_over = true;
    }
    Ok(batch)
}

/// The log as it was written, until the build has ended; then the stream ends. It breaks when this process stops or the
/// database is away.
pub(crate) fn written(
    web: Web,
    build: Build,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    let waiter = web.rings.of(build.id);
    stream::unfold((web, build, waiter, 0), |(web, build, mut waiter, next_line)| async move {
        match stretch(&web, &build, &mut waiter, next_line).await {
            Ok(Some(raw)) => Some((Ok(raw.bytes.into()), (web, build, waiter, raw.next_line))),
            Ok(None) => None,
            Err(error) => {
                tracing::warn!("sending the log of build #{}: {error:#}", build.number);
                None
            }
        }
    })
}

/// Waits until there is something at line `from`. `None`: there never will be.
async fn stretch(web: &Web, build: &Build, waiter: &mut Waiter, from: i64) -> Result<Option<Raw>> {
    loop {
        let build = store::build::get(&web.db, build.id).await?.context("the build is gone")?;
        let raw = store::log::raw(&web.logs, build.id, from, PAGE_BYTES).await?;
        if !raw.bytes.is_empty() {
            return Ok(Some(raw));
        }
        if build.state.0.is_final() {
            return Ok(None);
        }
        tokio::select! {
            () = waiter.wait() => {}
            () = web.shutdown.cancelled() => return Ok(None),
        }
    }
}

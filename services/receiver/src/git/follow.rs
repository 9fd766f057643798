//! A build as it happens, from its first line on: rows of the database in, events out. Rings only say "look again"; what
//! is told is read from the store, so a lost ring loses nothing, and a build that has ended reads like one that runs.

mod look;
mod order;
#[cfg(test)]
mod tests;

use std::time::Duration;

use anyhow::Context as _;
use domain::push_options::Wait;
use futures::{Stream, stream};
use sqlx::PgPool;
use store::rings::{Rings, Waiter};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use self::look::Seen;
use super::narrate::{End, Event};

/// A look that takes longer has lost its connection.
const LOOK_MAX: Duration = Duration::from_secs(10);
/// The database is away for so long before anybody is told.
const AWAY_MIN: Duration = Duration::from_secs(10);
const ASK_AGAIN: Duration = Duration::from_millis(500);

struct Follower {
    db: PgPool,
    build: Uuid,
    wait: Wait,
    waiter: Waiter,
    seen: Seen,
    /// There may be more than the last look found.
    is_behind: bool,
    away: Option<Away>,
    is_over: bool,
}

/// The database cannot be read.
struct Away {
    since: Instant,
    is_told: bool,
}

/// What happens to a build, in batches, until [`Event::End`]. Nothing is read before the batch before was taken, and a
/// database that is away is waited for.
pub(crate) fn follow(
    db: PgPool,
    rings: &Rings,
    build: Uuid,
    wait: Wait,
) -> impl Stream<Item = Vec<Event>> + Send + use<> {
    let follower = Follower {
        waiter: rings.of(build),
        db,
        build,
        wait,
        seen: Seen::default(),
        is_behind: true,
        away: None,
        is_over: false,
    };
    stream::unfold(follower, |mut follower| async {
        let batch = next(&mut follower).await?;
        Some((batch, follower))
    })
}

async fn next(follower: &mut Follower) -> Option<Vec<Event>> {
    while !follower.is_over {
        if !follower.is_behind {
            follower.waiter.wait().await;
        }
        let started = Instant::now();
        let Follower { db, build, wait, seen, .. } = &*follower;
        let looked = timeout(LOOK_MAX, look::look(db, *build, *wait, seen)).await;
        let mut batch = Vec::new();
        match looked.context("the database does not answer").flatten() {
            Ok(look) => {
                batch.extend(back(follower));
                follower.is_behind = look.as_ref().is_some_and(look::Look::has_more);
                match look {
                    Some(look) => batch.extend(look::tell(&mut follower.seen, follower.wait, look)),
                    None => batch.push(Event::End(End::Gone)),
                }
            }
            Err(error) => {
                tracing::debug!("following a build: {error:#}");
                batch.extend(away(follower, started));
                sleep(ASK_AGAIN).await;
            }
        }
        follower.is_over = matches!(batch.last(), Some(Event::End(_)));
        if !batch.is_empty() {
            return Some(batch);
        }
    }
    None
}

fn away(follower: &mut Follower, since: Instant) -> Option<Event> {
    // It looks again without waiting for a ring, which it may have missed.
    follower.is_behind = true;
    let away = follower.away.get_or_insert(Away { since, is_told: false });
    let is_news = !away.is_told && away.since.elapsed() >= AWAY_MIN;
    away.is_told |= is_news;
    is_news.then_some(Event::DatabaseAway)
}

fn back(follower: &mut Follower) -> Option<Event> {
    follower.away.take().filter(|away| away.is_told).map(|_| Event::DatabaseBack)
}

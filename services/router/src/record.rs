//! Tells the deployer, through PostgreSQL, that this router lives and which pods it has switched to.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::Result;
use sqlx::PgPool;
use store::bell::{Channel, ring};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::watch::Sight;

/// A router is given up after five beats that did not come.
const BEAT: Duration = Duration::from_secs(1);

/// Requests go to this pod of the release.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) release: Uuid,
    pub(crate) pod: String,
}

pub(crate) async fn run(
    db: PgPool,
    router: String,
    sight: watch::Receiver<Sight>,
    mut answers: mpsc::Receiver<Answer>,
    shutdown: CancellationToken,
) -> Result<()> {
    let mut waiting = VecDeque::new();
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return store::answer::leave(&db, &router).await,
            Some(answer) = answers.recv() => waiting.push_back(answer),
            _ = beat.tick() => {
                // A router that does not see new pods must not be waited for.
                let sees = *sight.borrow() == Sight::Clear;
                if sees && let Err(error) = store::answer::beat(&db, &router).await {
                    tracing::warn!("recording that this router lives: {error:#}");
                }
            }
        }
        if let Err(error) = write_down(&db, &router, &mut waiting).await {
            tracing::warn!("recording an answer, trying again: {error:#}");
        }
    }
}

/// What cannot be written stays, for the next beat.
async fn write_down(db: &PgPool, router: &str, waiting: &mut VecDeque<Answer>) -> Result<()> {
    while let Some(answer) = waiting.front() {
        store::answer::record(db, answer.release, &answer.pod, router).await?;
        ring(db, Channel::Answer, &answer.release.to_string()).await;
        waiting.pop_front();
    }
    Ok(())
}

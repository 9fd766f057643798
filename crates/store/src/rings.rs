//! One listener per process on the doorbell of builds; everybody in it who follows a build waits for that one's rings.

use std::time::Duration;

use anyhow::Result;
use sqlx::PgPool;
use tokio::sync::broadcast;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::bell::{Channel, Listener};

/// A listener further behind than this looks again anyway.
const BEHIND_MAX: usize = 256;
/// The poll behind the bell.
const POLL: Duration = Duration::from_secs(1);
/// A builder may ring for each chunk of its log; nobody needs to see it more often than this.
const LOOKS_APART: Duration = Duration::from_millis(40);

#[derive(Clone, Debug)]
pub struct Rings(broadcast::Sender<Uuid>);

impl Rings {
    /// Silent until somebody runs [`listen`]; waiters poll all the same.
    #[expect(clippy::new_without_default, reason = "two that are made by default would not hear each other")]
    pub fn new() -> Rings {
        Rings(broadcast::channel(BEHIND_MAX).0)
    }

    pub fn of(&self, build: Uuid) -> Waiter {
        Waiter { build, rings: self.0.subscribe() }
    }
}

/// Passes rings on until shutdown.
pub async fn listen(db: PgPool, rings: Rings, shutdown: CancellationToken) -> Result<()> {
    let mut listener = Listener::new(db, Channel::Build);
    loop {
        tokio::select! {
            payload = listener.next() => {
                // An error only says that nobody waits.
                let _ = payload.parse().map(|build| rings.0.send(build));
            }
            () = shutdown.cancelled() => return Ok(()),
        }
    }
}

#[derive(Debug)]
pub struct Waiter {
    build: Uuid,
    rings: broadcast::Receiver<Uuid>,
}

impl Waiter {
    /// Returns when the build may have changed, at the latest after [`POLL`]. Look at it after this.
    pub async fn wait(&mut self) {
        if self.is_rung().await {
            tokio::time::sleep(LOOKS_APART).await;
        }
        // The look that follows answers all rings until here.
        self.rings = self.rings.resubscribe();
    }

    async fn is_rung(&mut self) -> bool {
        let rung = async {
            while let Ok(build) = self.rings.recv().await {
                if build == self.build {
                    return;
                }
            }
        };
        timeout(POLL, rung).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_waiter_hears_its_own_build_and_polls_behind_it() {
        let rings = Rings::new();
        let (ours, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut waiter = rings.of(ours);
        rings.0.send(other).unwrap();
        rings.0.send(ours).unwrap();
        assert!(waiter.is_rung().await);
        rings.0.send(other).unwrap();
        assert!(!waiter.is_rung().await, "another's ring is none");

        rings.0.send(ours).unwrap();
        rings.0.send(ours).unwrap();
        waiter.wait().await;
        assert!(!waiter.is_rung().await, "the look after the first ring answered the second one too");
    }

    #[tokio::test]
    async fn a_waiter_that_lost_rings_looks() {
        let rings = Rings::new();
        let mut waiter = rings.of(Uuid::from_u128(1));
        for _ in 0..=BEHIND_MAX {
            rings.0.send(Uuid::from_u128(2)).unwrap();
        }
        assert!(waiter.is_rung().await);
    }
}

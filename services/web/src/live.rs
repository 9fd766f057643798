//! One listener per process on the doorbell of builds; everybody here who follows a build waits for its rings.

use std::time::Duration;

use anyhow::Result;
use store::bell::{Channel, Listener};
use tokio::sync::broadcast;
use tokio::time::timeout;
use uuid::Uuid;

use crate::Web;

/// A listener further behind than this looks again anyway.
const BEHIND_MAX: usize = 256;
/// The poll behind the bell.
const POLL: Duration = Duration::from_secs(1);
/// A builder may ring for each chunk of its log; nobody needs to see it more often than this.
const LOOKS_APART: Duration = Duration::from_millis(40);

#[derive(Clone, Debug)]
pub(crate) struct Rings(broadcast::Sender<Uuid>);

impl Rings {
    pub(crate) fn new() -> Rings {
        Rings(broadcast::channel(BEHIND_MAX).0)
    }

    pub(crate) fn of(&self, build: Uuid) -> Waiter {
        Waiter { build, rings: self.0.subscribe() }
    }
}

/// Passes rings on until shutdown.
pub(crate) async fn listen(web: Web) -> Result<()> {
    let mut listener = Listener::new(web.db.clone(), Channel::Build);
    loop {
        tokio::select! {
            payload = listener.next() => {
                // An error only says that nobody waits.
                let _ = payload.parse().map(|build| web.rings.0.send(build));
            }
            () = web.shutdown.cancelled() => return Ok(()),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Waiter {
    build: Uuid,
    rings: broadcast::Receiver<Uuid>,
}

impl Waiter {
    /// Returns when the build may have changed, at the latest after [`POLL`]. Look at it after this.
    pub(crate) async fn wait(&mut self) {
        let rung = async {
            while let Ok(build) = self.rings.recv().await {
                if build == self.build {
                    return;
                }
            }
        };
        if timeout(POLL, rung).await.is_ok() {
            tokio::time::sleep(LOOKS_APART).await;
        }
        // The look that follows answers all rings until here.
        self.rings = self.rings.resubscribe();
    }
}

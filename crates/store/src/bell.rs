//! The doorbell: NOTIFY tells others to look again. It carries no truth, and a poll stands behind every wait,
//! so a lost ring costs a second and nothing else. Ring after the commit: inside a transaction NOTIFY takes a global lock.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// A job was queued or told to stop. Payload: its kind.
    Job,
    /// A build's state, steps or log changed. Payload: the build's id.
    Build,
    /// A router switched to a pod. Payload: the release's id.
    Answer,
}

impl Channel {
    pub const fn as_str(self) -> &'static str {
        match self {
            Channel::Job => "slipway_job",
            Channel::Build => "slipway_build",
            Channel::Answer => "slipway_answer",
        }
    }
}

/// Rings; a failure is only logged, because the listeners poll.
pub async fn ring(db: &PgPool, channel: Channel, payload: &str) {
    let rung = sqlx::query("select pg_notify($1, $2)").bind(channel.as_str()).bind(payload).execute(db).await;
    if let Err(error) = rung {
        tracing::debug!("could not ring {}: {error}", channel.as_str());
    }
}

/// Listens to one channel on a connection of its own; connects again by itself.
#[derive(Debug)]
pub struct Listener {
    db: PgPool,
    channel: Channel,
    connected: Option<PgListener>,
}

impl Listener {
    pub fn new(db: PgPool, channel: Channel) -> Listener {
        Listener { db, channel, connected: None }
    }

    /// The payload of the next ring, or `None` when `at_most` went by or the database is away.
    pub async fn wait(&mut self, at_most: Duration) -> Option<String> {
        tokio::time::timeout(at_most, self.next()).await.ok()
    }

    /// The payload of the next ring. Dropping the future loses nothing but rings.
    pub async fn next(&mut self) -> String {
        loop {
            match self.receive().await {
                Ok(payload) => return payload,
                Err(error) => {
                    tracing::debug!("listening on {}: {error}", self.channel.as_str());
                    self.connected = None;
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
        }
    }

    async fn receive(&mut self) -> sqlx::Result<String> {
        let listener = match &mut self.connected {
            Some(listener) => listener,
            None => {
                let mut listener = PgListener::connect_with(&self.db).await?;
                listener.listen(self.channel.as_str()).await?;
                self.connected.insert(listener)
            }
        };
        Ok(listener.recv().await?.payload().to_owned())
    }
}

//! The doorbell: NOTIFY tells others to look again. It carries no truth, and a poll stands behind every wait,
//! so a lost ring costs a second and nothing else. Ring after the commit: inside a transaction NOTIFY takes a global lock.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use sqlx::postgres::PgListener;
use sqlx::{PgConnection, PgPool};

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

/// As [`ring`], two bells at once on a connection that the caller has.
pub async fn ring_both(conn: &mut PgConnection, first: (Channel, &str), second: (Channel, &str)) {
    let rung = sqlx::query("select pg_notify($1, $2), pg_notify($3, $4)")
        .bind(first.0.as_str())
        .bind(first.1)
        .bind(second.0.as_str())
        .bind(second.1)
        .execute(conn)
        .await;
    if let Err(error) = rung {
        tracing::debug!("could not ring {} and {}: {error}", first.0.as_str(), second.0.as_str());
    }
}

/// Listeners of this process, and those of them that are connected. For the whole process, because each part of a role
/// has one of its own and health is the process's.
static LISTENERS: AtomicUsize = AtomicUsize::new(0);
static CONNECTED: AtomicUsize = AtomicUsize::new(0);

/// Fails while a listener of this process is not connected.
pub fn hears() -> Result<()> {
    let all = LISTENERS.load(Ordering::Relaxed);
    let deaf = all.saturating_sub(CONNECTED.load(Ordering::Relaxed));
    ensure!(deaf == 0, "{deaf} of {all} listeners are not connected: work starts up to a second late");
    Ok(())
}

/// Counts one as long as it lives.
#[derive(Debug)]
struct Counted(&'static AtomicUsize);

impl Counted {
    fn new(count: &'static AtomicUsize) -> Counted {
        count.fetch_add(1, Ordering::Relaxed);
        Counted(count)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Listens to one channel on a connection of its own; connects again by itself.
#[derive(Debug)]
pub struct Listener {
    db: PgPool,
    channel: Channel,
    connected: Option<(PgListener, Counted)>,
    _counted: Counted,
}

impl Listener {
    pub fn new(db: PgPool, channel: Channel) -> Listener {
        Listener { db, channel, connected: None, _counted: Counted::new(&LISTENERS) }
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
        let (listener, _) = match &mut self.connected {
            Some(connected) => connected,
            None => {
                let mut listener = PgListener::connect_with(&self.db).await?;
                listener.listen(self.channel.as_str()).await?;
                self.connected.insert((listener, Counted::new(&CONNECTED)))
            }
        };
        Ok(listener.recv().await?.payload().to_owned())
    }
}

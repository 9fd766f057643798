//! Whether each daemon can be built with, asked again and again beside the builds.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow};
use futures::future::join_all;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Daemon, Pool};
use crate::daemon::Identity;
use crate::{SolveError, daemon};

/// One that is well is asked again after this time; one that is not, soon.
const WELL_EVERY: Duration = Duration::from_secs(5);
const AWAY_EVERY: Duration = Duration::from_millis(500);
/// It answers and is too old or set up wrongly: only its administrator changes that.
const UNFIT_EVERY: Duration = Duration::from_secs(15);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Health {
    #[default]
    Unknown,
    Well(Identity),
    Away(String),
    Unfit(String),
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Health::Unknown => f.write_str("it was not reached yet"),
            Health::Well(identity) => write!(f, "{} is well", identity.version),
            Health::Away(why) | Health::Unfit(why) => f.write_str(why),
        }
    }
}

/// The last that was heard of a daemon.
#[derive(Debug, Default)]
pub(super) struct Cell {
    health: Mutex<Health>,
    /// Rung when it is worth asking at once.
    pub(super) doubt: Notify,
}

impl Cell {
    pub(super) fn get(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn is_well(&self) -> bool {
        matches!(*self.health.lock().unwrap_or_else(PoisonError::into_inner), Health::Well(_))
    }

    /// Of what the daemon keeps.
    pub(super) fn worker(&self) -> Option<String> {
        match self.get() {
            Health::Well(identity) => Some(identity.worker),
            Health::Unknown | Health::Away(_) | Health::Unfit(_) => None,
        }
    }

    /// Gives what it was before.
    pub(super) fn set(&self, health: Health) -> Health {
        std::mem::replace(&mut *self.health.lock().unwrap_or_else(PoisonError::into_inner), health)
    }
}

/// Asks all daemons until `shutdown`. Fails when each of them answered at first and none of them can be built with:
/// then the installation is wrong, and who started it is to see that at once.
pub async fn watch(pool: &Pool, shutdown: &CancellationToken) -> Result<()> {
    join_all(pool.daemons.iter().map(|daemon| ask(pool, daemon))).await;
    let all: Vec<Health> = pool.daemons.iter().map(|it| it.health.get()).collect();
    if let Some(Health::Unfit(why)) = all.first()
        && all.iter().all(|health| matches!(health, Health::Unfit(_)))
    {
        return Err(anyhow!("{why}"));
    }
    tokio::select! {
        () = shutdown.cancelled() => {}
        _ = join_all(pool.daemons.iter().map(|daemon| ask_for_ever(pool, daemon))) => {}
    }
    Ok(())
}

async fn ask_for_ever(pool: &Pool, daemon: &Daemon) {
    loop {
        let pause = match daemon.health.get() {
            Health::Well(_) => WELL_EVERY,
            Health::Away(_) | Health::Unknown => AWAY_EVERY,
            Health::Unfit(_) => UNFIT_EVERY,
        };
        tokio::select! {
            () = daemon.health.doubt.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
        ask(pool, daemon).await;
    }
}

async fn ask(pool: &Pool, daemon: &Daemon) {
    let health = match daemon::check(&daemon.channel).await {
        Ok(identity) => Health::Well(identity),
        Err(SolveError::Unavailable { message }) => Health::Away(message),
        Err(error) => Health::Unfit(error.to_string()),
    };
    let before = daemon.health.set(health.clone());
    if std::mem::discriminant(&before) != std::mem::discriminant(&health) {
        say(&daemon.name, &health);
        pool.changed.notify_waiters();
    }
}

/// It is another one than before.
fn say(name: &str, health: &Health) {
    match health {
        Health::Unknown => {}
        Health::Well(Identity { version, worker }) => {
            tracing::info!(name, version, worker, "BuildKit answers");
        }
        Health::Away(why) => tracing::warn!(name, "BuildKit does not answer: {why}"),
        Health::Unfit(why) => tracing::error!(name, "BuildKit cannot be used: {why}"),
    }
}

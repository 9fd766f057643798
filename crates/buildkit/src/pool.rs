//! Several daemons behind one door: each application has its own, as long as that one is well and has room.
//!
//! The daemon that built an application last has its files and layers, so the choice must be the same each time and in
//! each builder, and must move few applications when a daemon comes or goes: see [`rank`].

mod health;
mod rank;

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::pool::health::{Cell, Health};
use crate::pool::rank::Standing;
use crate::{Channel, SolveError, daemon};

pub use health::watch;

/// So many digests in a row that do not fit are more than a transfer gone wrong.
const STRIKES: u32 = 2;
/// A daemon whose damaged cache could not be helped gets no builds for so long, if there is another one.
const DOUBTED_FOR: Duration = Duration::from_secs(10 * 60);
/// A cache that is set aside is dropped within this time, or its daemon is one that does not answer.
const PRUNE_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Pool {
    daemons: Vec<Daemon>,
    builds_max: usize,
    /// A daemon became well, or one of its builds ended.
    changed: Notify,
}

#[derive(Debug)]
struct Daemon {
    /// Its address.
    name: String,
    channel: Channel,
    health: Cell,
    active: AtomicUsize,
    strikes: AtomicU32,
    /// When its cache was set aside, if nothing was built with it since.
    aside_at: Mutex<Option<Instant>>,
    doubted_at: Mutex<Option<Instant>>,
    spilled: AtomicU64,
    lost: AtomicU64,
    set_aside: AtomicU64,
}

/// A daemon as it is just now, for logs and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen<'a> {
    pub name: &'a str,
    pub is_well: bool,
    pub active: usize,
    /// Builds that it took over from the daemon that was theirs.
    pub spilled: u64,
    /// Builds during which it went away.
    pub lost: u64,
    /// How often its cache was damaged and set aside.
    pub set_aside: u64,
}

/// A daemon that was picked for a build. It counts as active until this is dropped.
#[derive(Debug)]
pub struct Picked<'a> {
    pool: &'a Pool,
    daemon: &'a Daemon,
    /// The first in the application's rank, when it is another one.
    own: Option<&'a str>,
}

/// Daemons at `addresses`, each with at most `builds_max` builds of ours as long as another one has room.
pub fn connect(addresses: &[String], builds_max: usize) -> Result<Pool> {
    let mut daemons: Vec<Daemon> = Vec::new();
    for address in addresses.iter().map(|it| it.trim()).filter(|it| !it.is_empty()) {
        ensure!(daemons.iter().all(|it| it.name != address), "BuildKit's address {address} is named twice");
        daemons.push(Daemon {
            name: address.to_owned(),
            channel: daemon::connect(address)?,
            health: Cell::default(),
            active: AtomicUsize::new(0),
            strikes: AtomicU32::new(0),
            aside_at: Mutex::default(),
            doubted_at: Mutex::default(),
            spilled: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            set_aside: AtomicU64::new(0),
        });
    }
    ensure!(!daemons.is_empty(), "no BuildKit is named: give the address of one at least");
    Ok(Pool { daemons, builds_max, changed: Notify::new() })
}

/// The daemon to build `app_key` with. Waits at most `patience` for one that is well.
pub async fn pick<'a>(pool: &'a Pool, app_key: &str, patience: Duration) -> Result<Picked<'a>, SolveError> {
    let until = Instant::now() + patience;
    let names: Vec<&str> = pool.daemons.iter().map(|it| it.name.as_str()).collect();
    let ranked = rank::ranked(app_key, &names);
    loop {
        let changed = pool.changed.notified();
        if let Some(picked) = take(pool, &ranked) {
            return Ok(picked);
        }
        if tokio::time::timeout_at(until, changed).await.is_err() {
            return Err(SolveError::Unavailable { message: why(pool) });
        }
    }
}

fn take<'a>(pool: &'a Pool, ranked: &[usize]) -> Option<Picked<'a>> {
    let standings: Vec<Standing> = pool
        .daemons
        .iter()
        .map(|it| Standing {
            is_well: it.health.is_well(),
            is_doubted: get(&it.doubted_at).is_some_and(|at| at.elapsed() < DOUBTED_FOR),
            active: it.active.load(Ordering::Relaxed),
        })
        .collect();
    let chosen = rank::choose(ranked, &standings, pool.builds_max)?;
    let (daemon, first) = (&pool.daemons[chosen], &pool.daemons[ranked[0]]);
    daemon.active.fetch_add(1, Ordering::Relaxed);
    let own = (chosen != ranked[0]).then_some(first.name.as_str());
    if own.is_some() {
        daemon.spilled.fetch_add(1, Ordering::Relaxed);
    }
    Some(Picked { pool, daemon, own })
}

fn get(at: &Mutex<Option<Instant>>) -> Option<Instant> {
    *at.lock().unwrap_or_else(PoisonError::into_inner)
}

fn set(at: &Mutex<Option<Instant>>, now: Option<Instant>) -> Option<Instant> {
    std::mem::replace(&mut *at.lock().unwrap_or_else(PoisonError::into_inner), now)
}

fn why(pool: &Pool) -> String {
    let reasons: Vec<String> =
        pool.daemons.iter().map(|it| format!("{}: {}", it.name, it.health.get())).collect();
    reasons.join("; ")
}

impl Pool {
    /// Each daemon's name and the way to it.
    pub fn channels(&self) -> impl Iterator<Item = (&str, &Channel)> {
        self.daemons.iter().map(|it| (it.name.as_str(), &it.channel))
    }

    /// The way to this daemon, if it is well and a build more would have room.
    pub fn with_room(&self, name: &str) -> Option<&Channel> {
        let daemon = self.daemons.iter().find(|it| it.name == name)?;
        let has_room = daemon.active.load(Ordering::Relaxed) < self.builds_max;
        (has_room && daemon.health.is_well()).then_some(&daemon.channel)
    }

    pub fn seen(&self) -> impl Iterator<Item = Seen<'_>> {
        self.daemons.iter().map(|it| Seen {
            name: &it.name,
            is_well: it.health.is_well(),
            active: it.active.load(Ordering::Relaxed),
            spilled: it.spilled.load(Ordering::Relaxed),
            lost: it.lost.load(Ordering::Relaxed),
            set_aside: it.set_aside.load(Ordering::Relaxed),
        })
    }
}

impl Picked<'_> {
    pub const fn channel(&self) -> &Channel {
        &self.daemon.channel
    }

    pub fn name(&self) -> &str {
        &self.daemon.name
    }

    /// What the daemon keeps is known by this id; nothing while it does not answer.
    pub fn worker(&self) -> Option<String> {
        self.daemon.health.worker()
    }

    /// The daemon that the application has otherwise: it was away, or full.
    pub const fn instead_of(&self) -> Option<&str> {
        self.own
    }

    /// A build went well: what was suspected of this daemon's cache was not so.
    pub fn succeeded(&self) {
        self.daemon.strikes.store(0, Ordering::Relaxed);
        set(&self.daemon.aside_at, None);
        set(&self.daemon.doubted_at, None);
    }

    /// What a build's failure says of the daemon. One that went away is not picked until it answers again. `true`: its
    /// cache was damaged and is set aside now; the next build makes everything anew.
    pub async fn failed(&self, error: &SolveError) -> bool {
        match error {
            SolveError::Unavailable { message } => {
                self.daemon.lost.fetch_add(1, Ordering::Relaxed);
                self.daemon.health.set(Health::Away(message.clone()));
                self.daemon.health.doubt.notify_one();
                false
            }
            SolveError::CacheCorrupt { is_certain, .. } => {
                let strikes = self.daemon.strikes.fetch_add(1, Ordering::Relaxed) + 1;
                (*is_certain || strikes >= STRIKES) && self.set_aside(error).await
            }
            SolveError::StepFailed { .. }
            | SolveError::DockerfileInvalid { .. }
            | SolveError::BaseImageMissing { .. }
            | SolveError::RegistryUnavailable { .. }
            | SolveError::RegistryRefused { .. }
            | SolveError::Other { .. } => false,
        }
    }

    async fn set_aside(&self, why: &SolveError) -> bool {
        tracing::error!(daemon = self.daemon.name, "the cache of BuildKit is damaged and is dropped: {why}");
        self.daemon.strikes.store(0, Ordering::Relaxed);
        self.daemon.set_aside.fetch_add(1, Ordering::Relaxed);
        if set(&self.daemon.aside_at, Some(Instant::now())).is_some() {
            tracing::error!(
                daemon = self.daemon.name,
                "the new cache of BuildKit is damaged too: move its state away"
            );
            set(&self.daemon.doubted_at, Some(Instant::now()));
        }
        let pruned = tokio::time::timeout(PRUNE_TIMEOUT, daemon::prune_all(&self.daemon.channel)).await;
        let error = match pruned {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it did not end within {} s", PRUNE_TIMEOUT.as_secs()),
        };
        tracing::error!(daemon = self.daemon.name, "dropping the damaged cache of BuildKit: {error}");
        false
    }
}

impl Drop for Picked<'_> {
    fn drop(&mut self) {
        self.daemon.active.fetch_sub(1, Ordering::Relaxed);
        self.pool.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests;

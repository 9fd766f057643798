//! The registry's copy of what BuildKit keeps, for a BuildKit that has not built an application: exported from builds of
//! the default branch, when this builder has nothing to build.

mod export;
mod queue;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use buildkit::solve::CacheMode;
use host::metrics::builds::Export;
use store::cache::Known;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Builder;
use crate::cache::export::{Outcome, Wanted};
use crate::cache::queue::{Next, Queue, REST, Waiting};
use crate::input::Input;
use crate::make::At;
use crate::run::Subject;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Far below the time between two exports of an application.
const DEADLINE: Duration = Duration::from_secs(5 * 60);

/// What the registry keeps of an application's builds, for a BuildKit that has not built it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum RegistryCache {
    /// Nothing.
    None,
    /// The steps whose layers are in images: nothing that who may pull could not read before.
    Min,
    /// The steps of all stages.
    Max,
}

impl RegistryCache {
    const fn mode(self) -> Option<CacheMode> {
        match self {
            RegistryCache::None => None,
            RegistryCache::Min => Some(CacheMode::Min),
            RegistryCache::Max => Some(CacheMode::Max),
        }
    }
}

/// What BuildKit made of an input, and where.
pub(crate) struct Made {
    pub(crate) at: At,
    pub(crate) input: Input,
    pub(crate) key: Vec<u8>,
}

/// The exports of this builder.
pub(crate) struct Exports {
    mode: Option<CacheMode>,
    queue: Mutex<Queue<Wanted>>,
}

/// A build of the application runs as long as this lives.
pub(crate) struct Building<'e> {
    exports: &'e Exports,
    app: Uuid,
}

impl Drop for Building<'_> {
    fn drop(&mut self) {
        self.exports.queue().end(self.app, Instant::now());
    }
}

impl Exports {
    pub(crate) fn new(cache: RegistryCache) -> Exports {
        Exports { mode: cache.mode(), queue: Mutex::default() }
    }

    fn queue(&self) -> MutexGuard<'_, Queue<Wanted>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A build begins: an export that is in its way is given up.
    pub(crate) fn building(&self, app: Uuid) -> Building<'_> {
        self.queue().begin(app);
        Building { exports: self, app }
    }
}

/// What a build may import. Asked beside other things; whatever goes wrong, the build goes without. So does an attempt
/// after the first: the import may be what went wrong.
pub(crate) async fn known(builder: &Builder, subject: &Subject, attempt: i32) -> Option<Known> {
    if builder.exports.mode.is_none() || subject.build.no_cache || attempt > 1 {
        return None;
    }
    store::cache::known(&builder.db, subject.app.id).await.unwrap_or_else(|error| {
        tracing::warn!("looking for a cache in the registry: {error:#}");
        None
    })
}

/// After a build's end. Nobody waits for this.
pub(crate) async fn keep(builder: &Builder, subject: &Subject, made: Made, succeeded: bool) {
    let Subject { app, build, settings } = subject;
    if let Some(worker) = &made.at.worker
        && let Err(error) = store::cache::built(&builder.db, app.id, worker, made.at.is_imported).await
    {
        tracing::debug!("writing down which BuildKit built what: {error:#}");
    }
    if succeeded && build.branch == app.default_branch && builder.exports.mode.is_some() {
        let files = made.input.context.entries().len();
        let what = Wanted {
            app_id: app.id,
            app: app.name.clone(),
            daemon: made.at.daemon,
            input: made.input,
            key: made.key,
            is_anew: build.no_cache,
            secrets: settings.secrets.clone(),
            redactor: settings.redactor(),
        };
        let since = Instant::now() + REST;
        builder.exports.queue().offer(Waiting { app: app.id, not_before: since, since, files, what });
    }
}

/// Exports one after the other until shutdown.
pub(crate) async fn export(builder: Arc<Builder>, shutdown: CancellationToken) -> Result<()> {
    let Some(mode) = builder.exports.mode else { return Ok(()) };
    while shutdown.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
        let has_room = |wanted: &Wanted| builder.pool.with_room(&wanted.daemon).is_some();
        let next = builder.exports.queue().next(Instant::now(), has_room);
        let Some(next) = next else { continue };
        if shutdown.run_until_cancelled(one(&builder, mode, next)).await.is_none() {
            break;
        }
    }
    Ok(())
}

/// What became of an export; `None`: it was given up.
type Ended = Option<Result<Outcome>>;

async fn one(builder: &Builder, mode: CacheMode, next: Next<Wanted>) {
    let Next { waited, given_up } = next;
    let wanted = &waited.what;
    let started = Instant::now();
    let exporting = tokio::time::timeout(DEADLINE, Box::pin(export::run(builder, mode, wanted)));
    let ended: Ended = tokio::select! {
        ended = exporting => Some(ended.unwrap_or_else(|_| Err(anyhow!("it took {} s", DEADLINE.as_secs())))),
        () = given_up.cancelled() => None,
        () = until_full(builder, &wanted.daemon) => None,
    };
    count(builder, &ended);
    tell(&wanted.app, &ended, started.elapsed());
    if ended.is_none()
        && let Err(error) = store::cache::give_back(&builder.db, waited.app).await
    {
        tracing::debug!("giving back the turn of an export: {error:#}");
    }
    let mut queue = builder.exports.queue();
    queue.over();
    let now = Instant::now();
    match ended {
        None => queue.put_back(Waiting { not_before: now + REST, ..waited }),
        // It waits for its turn until then, not for builds.
        Some(Ok(Outcome::Later(wait))) => {
            queue.put_back(Waiting { not_before: now + wait, since: now + wait, ..waited });
        }
        // The next build of the application is another chance.
        Some(Ok(Outcome::Exported(_) | Outcome::Needless) | Err(_)) => {}
    }
}

fn count(builder: &Builder, ended: &Ended) {
    let export = match ended {
        None => Export::GivenUp,
        Some(Ok(Outcome::Exported(_))) => Export::Done,
        Some(Err(_)) => Export::Failed,
        Some(Ok(Outcome::Later(_) | Outcome::Needless)) => return,
    };
    builder.numbers.cache_export(export);
}

fn tell(app: &str, ended: &Ended, took: Duration) {
    match ended {
        Some(Ok(Outcome::Exported(digest))) => {
            let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            tracing::info!(app, digest, took_ms, "exported the cache of the default branch");
        }
        Some(Err(error)) => tracing::warn!(app, "exporting the cache of the default branch: {error:#}"),
        None => tracing::debug!(app, "an export of the cache of the default branch is given up"),
        Some(Ok(Outcome::Later(_) | Outcome::Needless)) => {}
    }
}

async fn until_full(builder: &Builder, daemon: &str) {
    while builder.pool.with_room(daemon).is_some() {
        tokio::time::sleep(LOOK_EVERY / 4).await;
    }
}

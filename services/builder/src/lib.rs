//! The builder: takes `build` jobs, has BuildKit build their commits straight from git objects, and records the images.

mod attempt;
mod cache;
mod end;
mod fetch;
pub mod garbage;
mod image;
mod input;
pub mod journal;
mod make;
mod outcome;
mod prepare;
mod recent;
mod run;
mod sbom;
mod sessions;
mod source;
#[cfg(test)]
mod tests;
mod times;
mod vitals;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use buildkit::pool::{self, Pool};
use domain::job::JobKind;
use host::admin::Vitals;
use host::metrics::builds::Builds;
use host::metrics::sboms::Sboms;
use sqlx::PgPool;
use store::build::overdue::{self, Repaired};
use store::worker::{Held, Worker};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;
use vault::Vault;

use crate::cache::{Exports, RegistryCache};
use crate::image::Images;
use crate::sessions::Sessions;

const REPAIR_EVERY: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// BuildKit: `tcp://HOST:PORT` or `unix:///PATH`; several are separated by commas, and each application has its own
    #[arg(long, env = "SLIPWAY_BUILDKIT", default_value = "tcp://buildkitd:1234", value_delimiter = ',')]
    buildkit: Vec<String>,
    /// Builds at a time at one BuildKit, as long as another one has room
    #[arg(long, env = "SLIPWAY_BUILDKIT_BUILDS", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    buildkit_builds: u8,
    /// Where images are pushed to: HOST[:PORT][/PREFIX], the same name for BuildKit and for the nodes
    #[arg(long, env = "SLIPWAY_REGISTRY", default_value = "registry:5000")]
    registry: String,
    /// A docker config.json: the credentials with which images are pushed and base images pulled
    #[arg(long, env = "SLIPWAY_REGISTRY_CONFIG")]
    registry_config: Option<PathBuf>,
    /// The registry speaks http, not https
    #[arg(long, env = "SLIPWAY_REGISTRY_INSECURE")]
    registry_insecure: bool,
    /// What of builds of default branches is kept there for a BuildKit that has not built the application
    #[arg(long, env = "SLIPWAY_REGISTRY_CACHE", value_enum, default_value_t = RegistryCache::Min)]
    registry_cache: RegistryCache,
    /// Where the bare mirrors of repositories are kept; what is lost is fetched again
    #[arg(long, env = "SLIPWAY_MIRRORS_DIR", default_value = "/var/lib/slipway/mirrors")]
    mirrors_dir: PathBuf,
    /// Where the receiver serves the repositories of applications that are pushed to Slipway itself
    #[arg(long, env = "SLIPWAY_GIT_URL", default_value = "http://slipway-receiver")]
    git_url: Url,
    /// Builds at a time
    #[arg(long, env = "SLIPWAY_BUILD_SLOTS", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    build_slots: u8,
    /// The log of a build may have so many MiB; of a longer one the middle is left out
    #[arg(long, env = "SLIPWAY_LOG_MAX_MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    log_max_mib: u64,
    #[command(flatten)]
    garbage: garbage::Args,
}

/// What every build works with.
struct Builder {
    db: PgPool,
    pool: Pool,
    sessions: Sessions,
    exports: Exports,
    vault: Arc<Vault>,
    images: Images,
    mirrors: PathBuf,
    git_url: Url,
    http: reqwest::Client,
    /// Rung when an image was made.
    built: Notify,
    /// What it counts.
    numbers: Builds,
    /// Of one build.
    log_max_bytes: u64,
}

impl Builder {
    fn mirror(&self, app: Uuid) -> PathBuf {
        self.mirrors.join(format!("{app}.git"))
    }
}

/// Runs `build` jobs until `shutdown`.
pub async fn run(
    args: Args,
    vault: Arc<Vault>,
    vitals: &Vitals,
    db: PgPool,
    shutdown: CancellationToken,
) -> Result<()> {
    let builder = Arc::new(Builder {
        db: db.clone(),
        pool: pool::connect(&args.buildkit, usize::from(args.buildkit_builds))?,
        sessions: Sessions::default(),
        exports: Exports::new(args.registry_cache),
        vault,
        images: Images::new(&args.registry, args.registry_config.as_deref(), args.registry_insecure)?,
        mirrors: args.mirrors_dir,
        git_url: args.git_url,
        http: reqwest::Client::new(),
        built: Notify::new(),
        numbers: Builds::new(&vitals.metrics),
        log_max_bytes: args.log_max_mib << 20,
    });
    vitals::tell(vitals, &builder);
    let owner = host::site::owner("builder");
    let worker =
        Worker { kinds: &[JobKind::Build], owner: owner.clone(), slots: usize::from(args.build_slots) };
    let mut tasks = JoinSet::new();
    tasks.spawn(watch(builder.clone(), shutdown.clone()));
    tasks.spawn(repair(db.clone(), shutdown.clone()));
    tasks.spawn(cache::export(builder.clone(), shutdown.clone()));
    tasks.spawn(sbom::describe(builder.clone(), Sboms::new(&vitals.metrics), shutdown.clone()));
    let policy = garbage::policy(args.garbage);
    tasks.spawn(garbage::collect(builder.clone(), policy, owner, shutdown.clone()));
    tasks.spawn(store::worker::run(db, worker, shutdown.clone(), move |held: Held| {
        let builder = builder.clone();
        async move { run::run(&builder, &held).await }
    }));
    let mut outcome = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.context("a part of the builder panicked").and_then(|ended| ended);
        if ended.is_err() {
            shutdown.cancel();
        }
        outcome = outcome.and(ended);
    }
    outcome
}

/// Builds that no job will ever end are found again.
async fn repair(db: PgPool, shutdown: CancellationToken) -> Result<()> {
    while shutdown.run_until_cancelled(tokio::time::sleep(REPAIR_EVERY)).await.is_some() {
        match overdue::repair(&db).await {
            Ok(repaired) if repaired == Repaired::default() => {}
            Ok(Repaired { queued_again, ended }) => {
                tracing::warn!(queued_again, ended, "builds had lost their job");
            }
            Err(error) => tracing::debug!("looking for builds without a job: {error:#}"),
        }
    }
    Ok(())
}

/// Fails when every BuildKit answers and none is one that builds can rely on. Jobs are taken meanwhile: they wait too.
async fn watch(builder: Arc<Builder>, shutdown: CancellationToken) -> Result<()> {
    pool::watch(&builder.pool, &shutdown).await
}

//! The builder: takes `build` jobs, has BuildKit build their commits straight from git objects, and records the images.

mod attempt;
mod end;
mod image;
mod journal;
mod outcome;
mod run;
mod source;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use buildkit::{Channel, SolveError, daemon};
use domain::job::JobKind;
use sqlx::PgPool;
use store::worker::{Held, Worker};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::image::Images;

#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// BuildKit: `tcp://HOST:PORT` or `unix:///PATH`
    #[arg(long, env = "SLIPWAY_BUILDKIT", default_value = "tcp://buildkitd:1234")]
    buildkit: String,
    /// Where images are pushed to: HOST[:PORT][/PREFIX], the same name for BuildKit and for the nodes
    #[arg(long, env = "SLIPWAY_REGISTRY", default_value = "registry:5000")]
    registry: String,
    /// A docker config.json: the credentials with which images are pushed and base images pulled
    #[arg(long, env = "SLIPWAY_REGISTRY_CONFIG")]
    registry_config: Option<PathBuf>,
    /// The registry speaks http, not https
    #[arg(long, env = "SLIPWAY_REGISTRY_INSECURE")]
    registry_insecure: bool,
    /// Where the bare mirrors of repositories are kept; what is lost is fetched again
    #[arg(long, env = "SLIPWAY_MIRRORS_DIR", default_value = "/var/lib/slipway/mirrors")]
    mirrors_dir: PathBuf,
    /// Where the receiver serves the repositories of applications that are pushed to Slipway itself
    #[arg(long, env = "SLIPWAY_GIT_URL", default_value = "http://slipway-receiver")]
    git_url: Url,
    /// Builds at a time
    #[arg(long, env = "SLIPWAY_BUILD_SLOTS", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    build_slots: u8,
}

/// What every build works with.
struct Builder {
    db: PgPool,
    /// One connection for all builds; it mends itself.
    channel: Channel,
    images: Images,
    mirrors: PathBuf,
    git_url: Url,
}

/// Runs `build` jobs until `shutdown`.
pub async fn run(args: Args, db: PgPool, shutdown: CancellationToken) -> Result<()> {
    let channel = daemon::connect(&args.buildkit)?;
    let builder = Arc::new(Builder {
        db: db.clone(),
        channel: channel.clone(),
        images: Images::new(&args.registry, args.registry_config.as_deref(), args.registry_insecure)?,
        mirrors: args.mirrors_dir,
        git_url: args.git_url,
    });
    let worker = Worker {
        kinds: &[JobKind::Build],
        owner: host::site::owner("builder"),
        slots: usize::from(args.build_slots),
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(check(channel, shutdown.clone()));
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

/// Fails when BuildKit answers and is not one that builds can rely on. Jobs are taken meanwhile: they wait for it too.
async fn check(channel: Channel, shutdown: CancellationToken) -> Result<()> {
    loop {
        match daemon::check(&channel).await {
            Ok(version) => {
                tracing::info!(version, "BuildKit answers");
                return Ok(());
            }
            Err(error @ SolveError::Unavailable { .. }) => tracing::warn!("waiting for BuildKit: {error}"),
            Err(error) => return Err(error.into()),
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(Duration::from_secs(5)) => {}
        }
    }
}

//! The deployer: makes environments what they are to be. It takes `deploy` jobs, each to roll a release out or to remove an
//! environment, keeps the readiness gates of what is live, and looks for what is to go.

mod apply;
mod due;
mod ensure;
mod fault;
mod gate;
mod namespace;
mod orphan;
mod proof;
mod remove;
mod restore;
mod rollout;
mod subject;
#[cfg(test)]
mod tests;
mod wait;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use domain::job::JobKind;
use kube::Client;
use sqlx::PgPool;
use store::queue::Outcome;
use store::worker::{Held, Worker};
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::subject::Work;

/// Answers of routers that a roll-out may be behind with; one that falls behind further looks for itself.
const RINGS_MAX: usize = 256;

#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// A docker config.json: the credentials with which environments pull their images
    #[arg(long = "pull-config", env = "SLIPWAY_REGISTRY_CONFIG")]
    pull_config: Option<PathBuf>,
    /// Run pods in user namespaces, so that images that run as root are admitted; needs containerd 2 on every node
    #[arg(long, env = "SLIPWAY_USER_NAMESPACES", default_value_t = true, action = clap::ArgAction::Set)]
    user_namespaces: bool,
    /// How long a new version may take until it answers
    #[arg(long, env = "SLIPWAY_ROLLOUT_SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u32).range(5..=3600))]
    rollout_seconds: u32,
    /// Roll-outs at a time
    #[arg(long, env = "SLIPWAY_DEPLOY_SLOTS", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..))]
    deploy_slots: u8,
}

/// What every roll-out works with.
struct Deployer {
    db: PgPool,
    client: Client,
    settings: manifest::release::Settings,
    pull_config: Option<PathBuf>,
    /// The releases that a router has just switched to.
    rings: broadcast::Sender<Uuid>,
}

/// Runs `deploy` jobs, the gatekeeper and the looks for what is to go, until `shutdown`.
pub async fn run(args: Args, db: PgPool, shutdown: CancellationToken) -> Result<()> {
    let client = Client::try_default()
        .await
        .context("finding the Kubernetes API (in the cluster, or by KUBECONFIG)")?;
    let deployer = Arc::new(Deployer {
        db: db.clone(),
        client,
        settings: manifest::release::Settings {
            user_namespaces: args.user_namespaces,
            rollout_seconds: args.rollout_seconds,
        },
        pull_config: args.pull_config,
        rings: broadcast::Sender::new(RINGS_MAX),
    });
    let worker = Worker {
        kinds: &[JobKind::Deploy],
        owner: host::site::owner("deployer"),
        slots: usize::from(args.deploy_slots),
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(gate::run(deployer.clone(), shutdown.clone()));
    tasks.spawn(due::run(db.clone(), shutdown.clone()));
    tasks.spawn(orphan::run(deployer.clone(), shutdown.clone()));
    tasks.spawn(store::worker::run(db, worker, shutdown.clone(), move |held: Held| {
        let deployer = deployer.clone();
        async move { handle(&deployer, &held).await }
    }));
    let mut outcome = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.context("a part of the deployer panicked").and_then(|ended| ended);
        if outcome.is_ok() {
            outcome = ended;
        }
        shutdown.cancel();
    }
    outcome
}

async fn handle(deployer: &Deployer, held: &Held) -> Result<()> {
    match subject::load(&deployer.db, held.job.subject).await? {
        Some(Work::RollOut(subject)) => rollout::handle(deployer, held, &subject).await,
        Some(Work::Remove(environment)) => remove::handle(deployer, &held.job, &environment).await,
        None => subject::finish(&deployer.db, &held.job, Outcome::Cancelled).await,
    }
}

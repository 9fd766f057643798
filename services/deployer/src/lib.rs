//! The deployer: takes `deploy` jobs and rolls their releases out, and keeps the readiness gates of what is live.

mod apply;
mod ensure;
mod fault;
mod gate;
mod proof;
mod restore;
mod rollout;
mod subject;
mod wait;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use domain::job::JobKind;
use kube::Client;
use sqlx::PgPool;
use store::worker::{Held, Worker};
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

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

/// Runs `deploy` jobs and the gatekeeper until `shutdown`.
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
    tasks.spawn(store::worker::run(db, worker, shutdown.clone(), move |held: Held| {
        let deployer = deployer.clone();
        async move { rollout::handle(&deployer, &held).await }
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

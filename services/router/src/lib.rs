//! The router: carries requests to environments, and is what says that a new version answers.
//! It asks each new pod itself, sends the environment's requests there, and only then records the answer.

mod ask;
mod body;
mod header;
mod page;
mod pool;
mod proxy;
mod record;
mod serve;
mod situation;
mod table;
#[cfg(test)]
mod tests;
mod tunnel;
mod upstream;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use arc_swap::ArcSwap;
use host::site::Site;
use kube::Client;
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch as channel};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::proxy::Proxy;
use crate::situation::Situations;
use crate::table::Routes;
use crate::upstream::Upstream;
use crate::watch::Sight;

/// Answers that wait to be recorded while the database is slow; each is one start of a pod.
const ANSWERS_MAX: usize = 1024;

#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Where requests are taken
    #[arg(long, env = "SLIPWAY_ROUTER_ADDR", default_value = "0.0.0.0:8080")]
    router_addr: SocketAddr,
    /// Fixed routes HOST[/PATH]=URL, separated by commas; the longest path wins. /*.git stands for every repository
    #[arg(long, env = "SLIPWAY_UPSTREAMS", value_delimiter = ',')]
    upstreams: Vec<Upstream>,
}

/// Serves requests, watches pods and records their answers until `shutdown`.
pub async fn run(args: Args, site: Site, db: PgPool, shutdown: CancellationToken) -> Result<()> {
    let client = Client::try_default()
        .await
        .context("finding the Kubernetes API (in the cluster, or by KUBECONFIG)")?;
    let listener = TcpListener::bind(args.router_addr)
        .await
        .with_context(|| format!("listening on {}", args.router_addr))?;
    tracing::info!("listening on {}", args.router_addr);
    // The name of one run: a router that starts again must ask the pods again.
    let router = Uuid::now_v7().to_string();
    let routes = Arc::new(ArcSwap::from_pointee(Routes::default()));
    let (sight, sees) = channel::channel(Sight::NotYet);
    let (answer, answers) = mpsc::channel(ANSWERS_MAX);
    let situations = Situations::new(db.clone(), &site.base_url);
    let proxy = Proxy::new(&site.base_domain, args.upstreams, routes.clone(), sees.clone(), situations);

    let mut tasks = JoinSet::new();
    tasks.spawn(serve::run(listener, Arc::new(proxy), shutdown.clone()));
    tasks.spawn(watch::run(client, routes, sight, answer, shutdown.clone()));
    tasks.spawn(record::run(db, router, sees, answers, shutdown.clone()));
    let mut outcome = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.context("a part of the router panicked").and_then(|ended| ended);
        if outcome.is_ok() {
            outcome = ended;
        }
        shutdown.cancel();
    }
    outcome
}

//! Which role runs what, and the process that runs them all.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use host::admin::Vitals;
use host::site::Site;
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use vault::Vault;

use crate::Role;

/// The arguments of every role.
#[derive(Debug, clap::Args)]
pub(crate) struct All {
    #[command(flatten)]
    receiver: receiver::Args,
    #[command(flatten)]
    builder: builder::Args,
    #[command(flatten)]
    deployer: deployer::Args,
    #[command(flatten)]
    router: router::Args,
    #[command(flatten)]
    web: web::Args,
    /// The bootstrap admin token; only its hash is stored
    #[arg(long, env = "SLIPWAY_ADMIN_TOKEN", hide_env_values = true)]
    admin_token: Option<String>,
}

pub(crate) async fn run(
    role: Role,
    site: Site,
    vault_key: PathBuf,
    vitals: Vitals,
    db: PgPool,
    shutdown: CancellationToken,
) -> Result<()> {
    let (ready, end) = (db.clone(), shutdown.clone());
    let vault = || Vault::load(&vault_key).map(Arc::new);
    match role {
        Role::Receiver(args) => once_migrated(&ready, &end, receiver::run(args, site, db, shutdown)).await,
        Role::Builder(args) => {
            once_migrated(&ready, &end, builder::run(args, vault()?, &vitals, db, shutdown)).await
        }
        Role::Deployer(args) => once_migrated(&ready, &end, deployer::run(args, db, shutdown)).await,
        Role::Router(args) => once_migrated(&ready, &end, router::run(args, site, db, shutdown)).await,
        Role::Web(args) => once_migrated(&ready, &end, web::run(args, site, vault()?, db, shutdown)).await,
        Role::All(all) => run_all(*all, site, vault()?, vitals, db, shutdown).await,
        Role::Migrate { admin_token } => crate::migrate(&db, admin_token.as_deref()).await,
    }
}

async fn once_migrated(
    db: &PgPool,
    shutdown: &CancellationToken,
    role: impl Future<Output = Result<()>>,
) -> Result<()> {
    tokio::select! {
        ready = store::wait_for_schema(db) => ready?,
        () = shutdown.cancelled() => return Ok(()),
    }
    role.await
}

/// One process for a laptop: it also migrates, because nobody else does.
async fn run_all(
    all: All,
    site: Site,
    vault: Arc<Vault>,
    vitals: Vitals,
    db: PgPool,
    shutdown: CancellationToken,
) -> Result<()> {
    crate::migrate(&db, all.admin_token.as_deref()).await?;
    let mut roles = JoinSet::new();
    roles.spawn(receiver::run(all.receiver, site.clone(), db.clone(), shutdown.clone()));
    let (args, keys, pool, end) = (all.builder, vault.clone(), db.clone(), shutdown.clone());
    roles.spawn(async move { builder::run(args, keys, &vitals, pool, end).await });
    roles.spawn(deployer::run(all.deployer, db.clone(), shutdown.clone()));
    roles.spawn(router::run(all.router, site.clone(), db.clone(), shutdown.clone()));
    roles.spawn(web::run(all.web, site, vault, db, shutdown.clone()));
    let mut outcome = Ok(());
    while let Some(ended) = roles.join_next().await {
        let ended = ended.context("a role panicked").and_then(|ended| ended);
        if outcome.is_ok() {
            outcome = ended;
        }
        shutdown.cancel();
    }
    outcome
}

//! The server binary: one role per subcommand, or all of them in one process.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow};
use clap::{Parser, Subcommand};
use host::admin::Vitals;
use host::http::DRAIN;
use host::site::Site;
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

mod roles;
mod traces;
mod vitals;

/// Slipway's server: git pushes become running environments.
#[derive(Debug, Parser)]
#[command(name = "slipwayd", version)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    site: Site,
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, clap::Args)]
struct Common {
    /// PostgreSQL, for example `postgres://slipway:password@postgres/slipway`
    #[arg(long, env = "SLIPWAY_DATABASE_URL", hide_env_values = true, global = true, default_value = "")]
    database_url: String,
    /// Connections to PostgreSQL at most
    #[arg(long, env = "SLIPWAY_DATABASE_CONNECTIONS", global = true, default_value_t = 10)]
    database_connections: u32,
    /// What to log, for example `info` or `info,builder=debug`
    #[arg(long, env = "SLIPWAY_LOG", global = true, default_value = "info")]
    log: String,
    /// Where /livez, /readyz, /healthz and /metrics are served
    #[arg(long, env = "SLIPWAY_ADMIN_ADDR", global = true, default_value = "0.0.0.0:9090")]
    admin_addr: SocketAddr,
    /// A collector of traces, such as `http://otel-collector:4318`, which the receiver sends each push to; none are sent
    /// without it
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", global = true)]
    otlp_endpoint: Option<Url>,
    /// The file with the key under which build secrets lie in the database; builder and web read it
    #[arg(long, env = "SLIPWAY_VAULT_KEY", global = true, default_value = "/etc/slipway/vault/key")]
    vault_key: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Take webhook deliveries, resolve branches, report to the forge
    Receiver(receiver::Args),
    /// Build commits into images with BuildKit
    Builder(builder::Args),
    /// Roll releases out into their environments
    Deployer(deployer::Args),
    /// Send requests to environments
    Router(router::Args),
    /// Serve the pages and the API
    Web(web::Args),
    /// Every role in one process
    All(Box<roles::All>),
    /// Bring the database's schema up to date and store the bootstrap admin token
    Migrate {
        /// The bootstrap admin token; only its hash is stored
        #[arg(long, env = "SLIPWAY_ADMIN_TOKEN", hide_env_values = true)]
        admin_token: Option<String>,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow!("a TLS provider is already installed"))?;
    let Arguments { common, site, role } = Arguments::parse();
    host::telemetry::init(&common.log)?;
    if common.database_url.is_empty() {
        anyhow::bail!("SLIPWAY_DATABASE_URL is not set: give the URL of a PostgreSQL database");
    }
    let db = store::pool(&common.database_url, common.database_connections)?;
    let shutdown = host::shutdown::on_signal()?;
    if let Role::Migrate { admin_token } = role {
        return migrate(&db, admin_token.as_deref()).await;
    }
    serve(role, site, common, db, shutdown).await
}

async fn migrate(db: &PgPool, admin_token: Option<&str>) -> Result<()> {
    store::migrate(db).await?;
    if let Some(token) = admin_token.map(str::trim).filter(|token| !token.is_empty()) {
        store::token::ensure_bootstrap(db, token).await.context("storing the bootstrap admin token")?;
    }
    tracing::info!("the schema is up to date");
    Ok(())
}

/// Runs the role beside its health port; when either ends, so does the other.
async fn serve(
    role: Role,
    site: Site,
    common: Common,
    db: PgPool,
    shutdown: CancellationToken,
) -> Result<()> {
    let mut tasks = JoinSet::new();
    let vitals = Vitals::default();
    vitals::need_database(&vitals, &db);
    // What is to be told of the whole installation is told by the one role of which there is one.
    if matches!(role, Role::Receiver(_) | Role::All(_)) {
        vitals::count_queue(&vitals, &db);
        if let Some(endpoint) = common.otlp_endpoint {
            tasks.spawn(traces::run(endpoint, db.clone(), shutdown.clone()));
        }
    }
    let pool = db.clone();
    let admin = host::admin::router(vitals.clone(), move || {
        let pool = pool.clone();
        async move { store::answers(&pool).await }
    });
    tasks.spawn(host::http::serve(admin, common.admin_addr, shutdown.clone(), DRAIN));
    tasks.spawn(roles::run(role, site, common.vault_key, vitals, db, shutdown.clone()));
    let mut outcome = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.context("a role panicked")?;
        if let Err(error) = ended {
            tracing::error!("{error:#}");
            outcome = Err(error);
        } else if !shutdown.is_cancelled() {
            outcome = Err(anyhow!("a role ended by itself"));
        }
        shutdown.cancel();
    }
    outcome
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn arguments_are_consistent() {
        super::Arguments::command().debug_assert();
    }
}

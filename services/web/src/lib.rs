//! The web: pages and the JSON API. Both show the same views of the same rows, and neither is reachable without a login.

mod api;
mod assets;
mod auth;
mod cancel;
mod create;
mod environments;
mod follow;
mod links;
mod load;
mod logs;
mod pages;
mod rebuild;
mod settings;
#[cfg(test)]
mod tests;
mod tokens;
mod view;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::middleware;
use axum::routing::get;
use host::failures::Failures;
use host::http::DRAIN;
use host::site::Site;
use sqlx::PgPool;
use store::log::Logs;
use store::rings::{self, Rings};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use vault::Vault;

use crate::links::Links;

#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Where the pages and the API are served
    #[arg(long, env = "SLIPWAY_WEB_ADDR", default_value = "0.0.0.0:8082")]
    web_addr: SocketAddr,
    /// The URL under which forges reach /hooks; the pages' public URL when empty
    #[arg(long, env = "SLIPWAY_HOOKS_URL", default_value = "")]
    hooks_url: String,
    #[command(flatten)]
    logs: logs::Args,
}

/// What every handler needs.
#[derive(Clone, Debug)]
pub struct Web {
    db: PgPool,
    vault: Arc<Vault>,
    logs: Logs,
    links: Links,
    rings: Rings,
    failed_logins: Failures,
    failed_tokens: Failures,
    shutdown: CancellationToken,
}

impl Web {
    /// `shutdown` ends the streams, which would hold a graceful shutdown up.
    pub fn new(
        db: PgPool,
        vault: Arc<Vault>,
        site: &Site,
        hooks_url: &str,
        shutdown: CancellationToken,
    ) -> Web {
        let links = Links::new(&site.base_url, &site.base_domain, hooks_url);
        Web {
            logs: Logs { db: db.clone(), archive: None },
            db,
            vault,
            links,
            rings: Rings::new(),
            failed_logins: Failures::default(),
            failed_tokens: Failures::default(),
            shutdown,
        }
    }
}

/// Serves until `shutdown`.
pub async fn run(
    args: Args,
    site: Site,
    vault: Arc<Vault>,
    db: PgPool,
    shutdown: CancellationToken,
) -> Result<()> {
    reseal(&db, &vault).await?;
    let mut web = Web::new(db, vault, &site, &args.hooks_url, shutdown.clone());
    web.logs.archive = logs::archive(&args.logs)?;
    let mut tasks = JoinSet::new();
    tasks.spawn(logs::keep(web.logs.clone(), args.logs, shutdown.clone()));
    tasks.spawn(rings::listen(web.db.clone(), web.rings.clone(), shutdown.clone()));
    tasks.spawn(host::http::serve(router(web), args.web_addr, shutdown.clone(), DRAIN));
    let mut outcome = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.context("a part of the web panicked").and_then(|ended| ended);
        if outcome.is_ok() {
            outcome = ended;
        }
        shutdown.cancel();
    }
    outcome
}

/// After a change of the vault's key, so that the old one can go.
async fn reseal(db: &PgPool, vault: &Vault) -> Result<()> {
    let resealed = store::setting::reseal(db, vault)
        .await
        .context("sealing build secrets with the vault's first key")?;
    if resealed > 0 {
        tracing::info!(resealed, "build secrets are sealed with the vault's first key now");
    }
    Ok(())
}

/// Everything is behind the login but for what `open` holds.
pub fn router(web: Web) -> Router {
    let closed = Router::new()
        .nest("/api/v1", api::router())
        .merge(pages::router())
        .fallback(pages::not_found)
        .layer(middleware::from_fn_with_state(web.clone(), auth::require));
    let open = Router::new()
        .merge(pages::login::router())
        .route("/assets/{hash}/{name}", get(assets::asset))
        .route("/healthz", get(async || "ok"));
    closed.merge(open).layer(middleware::map_response(assets::protect)).with_state(web)
}

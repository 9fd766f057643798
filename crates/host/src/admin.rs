//! Health and metrics, on a port of their own that no user reaches.

use std::future::Future;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use prometheus_client::registry::Registry;

/// `/livez`: the process runs. `/readyz`: `is_ready` says so. `/metrics`: the registry as `OpenMetrics` text.
pub fn router<R, F>(registry: Arc<Mutex<Registry>>, is_ready: R) -> Router
where
    R: Fn() -> F + Clone + Send + Sync + 'static,
    F: Future<Output = bool> + Send,
{
    Router::new()
        .route("/livez", get(async || "ok"))
        .route(
            "/readyz",
            get(async move || {
                if is_ready().await {
                    (StatusCode::OK, "ok")
                } else {
                    (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer")
                }
            }),
        )
        .route(
            "/metrics",
            get(async move || {
                let mut text = String::new();
                let registry =
                    registry.lock().map_err(|_| anyhow::anyhow!("the metrics' lock is poisoned"))?;
                prometheus_client::encoding::text::encode(&mut text, &registry)?;
                Ok::<_, crate::Problem>(text)
            }),
        )
}

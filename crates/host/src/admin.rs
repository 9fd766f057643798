//! Health and metrics, on a port of their own that no user reaches.

use std::fmt::Write as _;
use std::future::Future;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;

use crate::health::{Answer, Health};
use crate::metrics::Metrics;

/// What a role tells of itself.
#[derive(Clone, Debug, Default)]
pub struct Vitals {
    pub metrics: Metrics,
    pub health: Health,
}

/// `/livez`: the process runs. `/readyz`: `is_ready` says so. `/healthz`: whether all that the role needs is there, and
/// what is not; no probe asks for it, because restarting a builder brings no BuildKit back. `/metrics`: `OpenMetrics`.
pub fn router<R, F>(vitals: Vitals, is_ready: R) -> Router
where
    R: Fn() -> F + Clone + Send + Sync + 'static,
    F: Future<Output = bool> + Send,
{
    let Vitals { metrics, health } = vitals;
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
        .route("/healthz", get(async move || told(&health.answers().await)))
        .route("/metrics", get(async move || Ok::<_, crate::Problem>(metrics.text().await?)))
}

/// A line for each need.
fn told(answers: &[Answer]) -> (StatusCode, String) {
    let is_well = answers.iter().all(|it| it.fault.is_none());
    let status = if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut text = String::new();
    for Answer { need, fault } in answers {
        let fault = fault.as_deref().unwrap_or("ok");
        // Writing to a string does not fail.
        let _ = writeln!(text, "{need}: {fault}");
    }
    (status, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_fault_is_enough() {
        let well = Answer { need: "PostgreSQL", fault: None };
        let away = Answer { need: "BuildKit", fault: Some("connection refused".to_owned()) };
        assert_eq!(told(std::slice::from_ref(&well)), (StatusCode::OK, "PostgreSQL: ok\n".to_owned()));
        let expected = "PostgreSQL: ok\nBuildKit: connection refused\n".to_owned();
        assert_eq!(told(&[well, away]), (StatusCode::SERVICE_UNAVAILABLE, expected));
    }
}

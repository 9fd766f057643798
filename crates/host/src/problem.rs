//! Errors as `application/problem+json` (RFC 9457).

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// What a handler returns when it cannot serve a request.
#[derive(Debug)]
pub enum Problem {
    /// The caller's fault: the text is for the caller.
    Client { status: StatusCode, detail: String },
    /// Ours: logged here, once, and never shown.
    Internal(anyhow::Error),
}

impl Problem {
    pub fn client(status: StatusCode, detail: impl Into<String>) -> Self {
        Problem::Client { status, detail: detail.into() }
    }

    pub fn not_found(what: impl Into<String>) -> Self {
        Problem::client(StatusCode::NOT_FOUND, what)
    }
}

impl<E: Into<anyhow::Error>> From<E> for Problem {
    fn from(error: E) -> Self {
        Problem::Internal(error.into())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, detail) = match self {
            Problem::Client { status, detail } => (status, Some(detail)),
            Problem::Internal(error) => {
                tracing::error!("request failed: {error:#}");
                (StatusCode::INTERNAL_SERVER_ERROR, None)
            }
        };
        let body = serde_json::json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": detail,
        });
        (status, [(header::CONTENT_TYPE, "application/problem+json")], Json(body)).into_response()
    }
}

//! Serving a router with the layers every role shares. No timeout here: some answers are streams without an end.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::TraceLayer;

/// How long requests may take to end once shutdown has begun, where nothing says otherwise.
pub const DRAIN: Duration = Duration::from_secs(10);

/// Serves until `shutdown`; requests that are still open `drain` after it are cut.
pub async fn serve(
    app: Router,
    addr: SocketAddr,
    shutdown: CancellationToken,
    drain: Duration,
) -> Result<()> {
    let listener = TcpListener::bind(addr).await.with_context(|| format!("listening on {addr}"))?;
    tracing::info!("listening on {addr}");
    serve_on(app, listener, shutdown, drain).await
}

pub async fn serve_on(
    app: Router,
    listener: TcpListener,
    shutdown: CancellationToken,
    drain: Duration,
) -> Result<()> {
    let app = app.layer((TraceLayer::new_for_http(), CatchPanicLayer::new()));
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    // What is streamed line by line waits for no acknowledgement of the line before.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("TCP_NODELAY: {error}");
        }
    });
    let serving = axum::serve(listener, service).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let drained = async {
        shutdown.cancelled().await;
        tokio::time::sleep(drain).await;
    };
    tokio::select! {
        result = serving.into_future() => result.context("serving HTTP"),
        () = drained => {
            tracing::info!("cut the requests that were still open after {} s", drain.as_secs());
            Ok(())
        }
    }
}

//! Takes connections, a bounded number of them, and lets them end in peace at shutdown.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::proxy::{self, Proxy};

/// Each costs two file descriptors; the usual limit in a container is far above twice this.
const CONNECTIONS_MAX: usize = 10_000;
/// For a request's head to be complete, and so also for a kept connection to wait for its next request. Load
/// balancers keep theirs for 60 s, and must be the ones that close.
const HEADER_TIMEOUT: Duration = Duration::from_secs(75);
/// What the pod has left of its 60 s to end in.
const DRAIN: Duration = Duration::from_secs(50);
const SWEEP: Duration = Duration::from_secs(1);

pub(crate) async fn run(listener: TcpListener, proxy: Arc<Proxy>, shutdown: CancellationToken) -> Result<()> {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let connections = TaskTracker::new();
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        let accepted = async { (slots.clone().acquire_owned().await, listener.accept().await) };
        tokio::select! {
            () = shutdown.cancelled() => break,
            _ = sweep.tick() => proxy.pool.sweep(),
            accepted = accepted => match accepted {
                (Ok(slot), Ok((stream, peer))) => {
                    connections.spawn(connection(proxy.clone(), stream, peer, slot, shutdown.clone()));
                }
                (_, Err(error)) => {
                    tracing::warn!("accepting a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                (Err(_), Ok(_)) => {}
            }
        }
    }
    drop(listener);
    connections.close();
    proxy.tunnels.close();
    let ended = async { tokio::join!(connections.wait(), proxy.tunnels.wait()) };
    if tokio::time::timeout(DRAIN, ended).await.is_err() {
        tracing::info!("cut {} connections that were still busy", connections.len() + proxy.tunnels.len());
        proxy.shutdown.cancel();
    }
    Ok(())
}

async fn connection(
    proxy: Arc<Proxy>,
    stream: TcpStream,
    peer: SocketAddr,
    slot: OwnedSemaphorePermit,
    shutdown: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, "a connection ended at once: {error}");
        return;
    }
    let service = service_fn(move |request| {
        let proxy = proxy.clone();
        async move { Ok::<_, Infallible>(proxy::handle(&proxy, peer, request).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, "a connection broke: {error}");
    }
    drop(slot);
}

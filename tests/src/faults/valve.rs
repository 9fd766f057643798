//! A TCP proxy that can hold what passes, cut it, or let just so many bytes through.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Open,
    /// Connections stay, and nothing passes.
    Held,
    /// Connections end, and new ones end at once.
    Cut,
}

/// It ends when this is dropped.
#[derive(Debug)]
pub struct Valve {
    pub address: SocketAddr,
    inner: Arc<Inner>,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Inner {
    flow: watch::Sender<Flow>,
    /// So many bytes from clients may still pass before it holds.
    budget: AtomicI64,
}

pub async fn start(upstream: String) -> Result<Valve> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("binding")?;
    let address = listener.local_addr()?;
    let inner = Arc::new(Inner { flow: watch::Sender::new(Flow::Open), budget: AtomicI64::new(i64::MAX) });
    let mut tasks = JoinSet::new();
    let shared = inner.clone();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            let (upstream, inner) = (upstream.clone(), shared.clone());
            connections.spawn(async move { carry(client, &upstream, &inner).await });
            while connections.try_join_next().is_some() {}
        }
    });
    Ok(Valve { address, inner, _tasks: tasks })
}

pub fn set(valve: &Valve, flow: Flow) {
    valve.inner.budget.store(i64::MAX, Ordering::Relaxed);
    valve.inner.flow.send_replace(flow);
}

/// Lets `bytes` more from clients pass, then holds.
pub fn hold_after(valve: &Valve, bytes: i64) {
    valve.inner.budget.store(bytes, Ordering::Relaxed);
}

/// Returns when it holds.
pub async fn holds(valve: &Valve) {
    let mut flow = valve.inner.flow.subscribe();
    flow.wait_for(|flow| *flow == Flow::Held).await.ok();
}

async fn carry(client: TcpStream, upstream: &str, inner: &Inner) -> Result<()> {
    let mut flow = inner.flow.subscribe();
    if *flow.borrow_and_update() == Flow::Cut {
        return Ok(());
    }
    let server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let both = async {
        tokio::join!(copy(from_client, to_server, inner, true), copy(from_server, to_client, inner, false));
    };
    tokio::select! {
        () = both => {}
        _ = flow.wait_for(|flow| *flow == Flow::Cut) => {}
    }
    Ok(())
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    inner: &Inner,
    counts: bool,
) {
    let mut buffer = vec![0; 64 << 10];
    let mut flow = inner.flow.subscribe();
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if counts && inner.budget.load(Ordering::Relaxed) != i64::MAX {
            let bytes = i64::try_from(count).unwrap_or(i64::MAX);
            if inner.budget.fetch_sub(bytes, Ordering::Relaxed) < bytes {
                inner.budget.store(i64::MAX, Ordering::Relaxed);
                inner.flow.send_replace(Flow::Held);
            }
        }
        if flow.wait_for(|flow| *flow != Flow::Held).await.is_err()
            || to.write_all(&buffer[..count]).await.is_err()
        {
            break;
        }
    }
    to.shutdown().await.ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_holds_after_so_many_bytes_and_cuts() -> Result<()> {
        let echo = TcpListener::bind("127.0.0.1:0").await?;
        let valve = start(echo.local_addr()?.to_string()).await?;
        let mut client = TcpStream::connect(valve.address).await?;
        let (mut server, _) = echo.accept().await?;
        let mut buffer = [0; 4];
        client.write_all(b"ping").await?;
        server.read_exact(&mut buffer).await?;
        hold_after(&valve, 2);
        client.write_all(b"held").await?;
        holds(&valve).await;
        set(&valve, Flow::Open);
        server.read_exact(&mut buffer).await?;
        assert_eq!(&buffer, b"held");
        set(&valve, Flow::Cut);
        assert_eq!(client.read(&mut buffer).await?, 0);
        Ok(())
    }
}

//! An HTTP proxy like those in front of many clusters: it cuts a connection on which nothing passes for some time.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// It ends when this is dropped.
#[derive(Debug)]
pub struct IdleProxy {
    pub address: SocketAddr,
    _tasks: JoinSet<()>,
}

/// Everything goes on to `upstream`, whatever host it asks for: whoever answers there has to know that host.
pub async fn start(upstream: String, idle_max: Duration) -> Result<IdleProxy> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("binding")?;
    let address = listener.local_addr()?;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            let upstream = upstream.clone();
            connections.spawn(async move { carry(client, &upstream, idle_max).await });
        }
    });
    Ok(IdleProxy { address, _tasks: tasks })
}

async fn carry(client: TcpStream, upstream: &str, idle_max: Duration) -> Result<()> {
    let server = TcpStream::connect(upstream).await?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (passed, passes) = watch::channel(Instant::now());
    // Whoever ends one direction may still read from the other.
    let both = async {
        tokio::join!(copy(from_client, to_server, &passed), copy(from_server, to_client, &passed));
    };
    tokio::select! {
        () = both => {}
        () = idle(passes, idle_max) => {}
    }
    Ok(())
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    passed: &watch::Sender<Instant>,
) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        passed.send_replace(Instant::now());
        if to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
    to.shutdown().await.ok();
}

/// Returns when nothing has passed for so long.
async fn idle(passes: watch::Receiver<Instant>, idle_max: Duration) {
    loop {
        let until = *passes.borrow() + idle_max;
        if until <= Instant::now() {
            return;
        }
        sleep_until(until).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_carries_what_passes_and_cuts_what_does_not() -> Result<()> {
        let echo = TcpListener::bind("127.0.0.1:0").await?;
        let proxy = start(echo.local_addr()?.to_string(), Duration::from_secs(2)).await?;
        let mut client = TcpStream::connect(proxy.address).await?;
        client.write_all(b"ping").await?;
        let (mut server, _) = echo.accept().await?;
        let mut buffer = [0; 4];
        server.read_exact(&mut buffer).await?;
        server.write_all(b"pong").await?;
        client.read_exact(&mut buffer).await?;
        assert_eq!(&buffer, b"pong");
        assert_eq!(client.read(&mut buffer).await?, 0, "cut, though the server says nothing of an end");
        Ok(())
    }
}

//! The router carries streams and upgrades, and its own pages say why there is nothing behind a host.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use harness::platform::Platform;
use harness::{app, platform};
use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[tokio::test]
async fn streams_and_upgrades_pass_through() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let app = app::create(&platform, "router", "node").await?;
    app::deliver(&platform, &app, "First").await?;
    app::serves(&platform, &app, "demo v1").await?;
    let host = format!("main--{}.{}", app.name, platform.base_domain());

    let started = Instant::now();
    let answer = platform.request(Method::GET, &host, "/stream?chunks=3&every=1500").send().await?;
    let mut chunks = answer.bytes_stream();
    let first = chunks.next().await.context("a chunk")??;
    let first_after = started.elapsed();
    let mut rest = first.to_vec();
    while let Some(chunk) = chunks.next().await {
        rest.extend(chunk?);
    }
    assert!(first_after + Duration::from_secs(1) < started.elapsed(), "the stream was held back");
    assert!(rest.len() > first.len());

    let port: u16 = platform.base_domain().rsplit_once(':').context("a port")?.1.parse()?;
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await?;
    let upgrade = format!("GET /ws HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    socket.write_all(upgrade.as_bytes()).await?;
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        seen.push(socket.read_u8().await?);
    }
    assert!(seen.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&seen));
    socket.write_all(b"ahoy").await?;
    let mut echo = [0; 4];
    socket.read_exact(&mut echo).await?;
    assert_eq!(&echo, b"ahoy");
    Ok(())
}

#[tokio::test]
async fn an_unknown_host_says_so() -> Result<()> {
    let platform = Platform::from_env()?;
    let host = format!("main--nobody.{}", platform.base_domain());
    let answer = platform.request(Method::GET, &host, "/").header("accept", "text/html").send().await?;
    assert_eq!(answer.status(), 404);
    assert!(answer.text().await?.contains("nobody"));
    Ok(())
}

#[tokio::test]
async fn an_environment_that_never_ran_says_why() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let app = app::create(&platform, "neverran", "crashes-on-start").await?;
    let commit = app::deliver(&platform, &app, "Crash").await?;
    app::settled(&platform, &app, &commit).await?;
    let (status, page) = app::served(&platform, &app, "main").await?;
    assert_eq!(status, 503, "{page}");
    assert!(page.contains("failed"), "{page}");
    Ok(())
}

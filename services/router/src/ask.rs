//! Asks one pod until it answers.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::{Request, header};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// A refused connection costs next to nothing, and a new version is served so much later.
const CONNECT_STEP: Duration = Duration::from_millis(5);
/// After so long it is not about milliseconds any more.
const EAGER: Duration = Duration::from_secs(10);
const PATIENT_STEP: Duration = Duration::from_millis(200);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// An application may do work for its first request.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// It listens and does not answer well yet: asking is work for it.
const ASK_STEP: Duration = Duration::from_millis(50);

pub(crate) async fn until_it_answers(address: SocketAddr, host: &str, path: &str) {
    let started = Instant::now();
    loop {
        let step = match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => match timeout(ANSWER_TIMEOUT, answers(stream, host, path)).await {
                Ok(Ok(true)) => return,
                Ok(Ok(false)) | Err(_) => ASK_STEP,
                Ok(Err(error)) => {
                    tracing::debug!(%address, "asking a pod: {error:#}");
                    ASK_STEP
                }
            },
            Ok(Err(_)) | Err(_) => CONNECT_STEP,
        };
        sleep(if started.elapsed() < EAGER { step } else { PATIENT_STEP }).await;
    }
}

/// Any status below 500 is an answer: also a login page, or "not found".
async fn answers(stream: TcpStream, host: &str, path: &str) -> Result<bool> {
    stream.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, "slipway-router")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .context("the health path is not a path")?;
    let mut response = std::pin::pin!(sender.send_request(request));
    let response = tokio::select! {
        response = &mut response => response,
        // It may end in the very moment that the response has come.
        _ = connection => response.await,
    };
    Ok(response?.status().as_u16() < 500)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A pod that gives each of `answers` to one connection.
    async fn pod(listener: TcpListener, answers: &[&str]) {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let read = stream.read(&mut request).await.unwrap();
            assert!(request[..read].starts_with(b"GET /healthz HTTP/1.1\r\nhost: main--demo\r\n"));
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn asks_until_a_status_below_500() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answers = [
            "",
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno",
        ];
        tokio::join!(pod(listener, &answers), until_it_answers(address, "main--demo", "/healthz"));
    }
}

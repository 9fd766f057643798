//! What a git push needs of the router: long uploads, answers that trickle, and both ends noticing when one goes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _};
use tokio::sync::{Notify, mpsc};

use super::{Client, Router, closed_port, pod, started};

const PUSH: &str = "POST /demo.git/git-receive-pack HTTP/1.1\r\nHost: s.localhost\r\n";
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n\r\n";
/// More than the sockets' buffers of both connections can hold.
const MUCH: usize = 64 << 20;
/// Long enough for bytes on loopback, far too short for [`MUCH`] through somebody who does not read.
const A_MOMENT: Duration = Duration::from_millis(300);

/// A router that sends repositories to `receiver`, and everything else to nobody.
async fn router(receiver: SocketAddr) -> Router {
    started(vec![format!("s.localhost/*.git=http://{receiver}").parse().unwrap()]).await
}

impl Client {
    /// One chunk of an answer, as the sender made it.
    async fn chunk(&mut self) -> String {
        let mut length = String::new();
        self.0.read_line(&mut length).await.unwrap();
        let length = usize::from_str_radix(length.trim_end(), 16).unwrap();
        let chunk = self.exactly(length).await;
        self.exactly("\r\n".len()).await;
        chunk
    }

    async fn send_chunk(&mut self, text: &str) {
        self.send(&format!("{:x}\r\n{text}\r\n", text.len())).await;
    }

    /// Whether the other side has closed the connection in order or otherwise; reads what comes before that.
    async fn ended(&mut self) {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).await.ok();
    }
}

#[tokio::test]
async fn a_push_trickles_both_ways() {
    let seen = Arc::new(Notify::new());
    let told = seen.clone();
    let (receiver, _, _pod) = pod(move |mut client: Client| {
        let told = told.clone();
        async move {
            let head = client.head().await.to_ascii_lowercase();
            assert!(head.starts_with("post /demo.git/git-receive-pack http/1.1\r\n"), "{head}");
            assert!(head.contains("transfer-encoding: chunked"), "{head}");
            for part in ["commands", "pack"] {
                assert_eq!(client.chunk().await, part);
                told.notify_one();
            }
            client.exactly("0\r\n\r\n".len()).await;
            client.send(&format!("HTTP/1.1 200 OK\r\nX-Accel-Buffering: no\r\n{CHUNKED}")).await;
            // Nothing more comes before the last piece has reached the client.
            for line in ["line 1", "line 2", "0005\u{2}", "verdict"] {
                client.send_chunk(line).await;
                told.notified().await;
            }
            client.send("0\r\n\r\n").await;
        }
    })
    .await;
    let router = router(receiver).await;
    let mut client = router.connect().await;
    client.send(&format!("{PUSH}{CHUNKED}")).await;
    for part in ["commands", "pack"] {
        client.send_chunk(part).await;
        seen.notified().await;
    }
    client.send("0\r\n\r\n").await;
    let head = client.head().await.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200") && head.contains("x-accel-buffering: no"), "{head}");
    for line in ["line 1", "line 2", "0005\u{2}", "verdict"] {
        assert_eq!(client.chunk().await, line);
        seen.notify_one();
    }
    assert_eq!(client.exactly(5).await, "0\r\n\r\n");
}

#[tokio::test]
async fn a_long_upload_passes_and_is_not_held_in_memory() {
    let go_on = Arc::new(Notify::new());
    let told = go_on.clone();
    let (receiver, _, _pod) = pod(move |mut client: Client| {
        let told = told.clone();
        async move {
            client.head().await;
            told.notified().await;
            let mut left = MUCH;
            while left > 0 {
                left -= client.chunk().await.len();
            }
            client.exactly("0\r\n\r\n".len()).await;
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }
    })
    .await;
    let router = router(receiver).await;
    let mut client = router.connect().await;
    client.send(&format!("{PUSH}{CHUNKED}")).await;
    let piece = "x".repeat(1 << 20);
    let mut sent = 0;
    // The receiver does not read yet: at some point the router must not either.
    while tokio::time::timeout(A_MOMENT, client.0.get_ref().writable()).await.is_ok() && sent < MUCH {
        // A piece that is begun has to be sent whole, so the receiver is let go when it is the one that sticks.
        let sending = client.send_chunk(&piece);
        tokio::pin!(sending);
        if tokio::time::timeout(A_MOMENT, &mut sending).await.is_err() {
            go_on.notify_one();
            sending.await;
            sent += piece.len();
            break;
        }
        sent += piece.len();
    }
    assert!(sent < MUCH, "all of it went into a router whose receiver reads nothing");
    while sent < MUCH {
        client.send_chunk(&piece).await;
        sent += piece.len();
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(client.answer().await.1, "ok");
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on() {
    let (receiver, _, _pod) = pod(async |mut client: Client| {
        client.head().await;
        let body = client.exactly(4).await;
        client.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{body}")).await;
    })
    .await;
    let router = router(receiver).await;
    let mut client = router.connect().await;
    client.send(&format!("{PUSH}Content-Length: 4\r\nExpect: 100-continue\r\n\r\n")).await;
    assert!(client.head().await.starts_with("HTTP/1.1 100"));
    client.send("pack").await;
    assert_eq!(client.answer().await.1, "pack");
}

#[tokio::test]
async fn a_client_that_goes_takes_its_connection_to_the_receiver_along() {
    let (ended, mut all_ended) = mpsc::channel(2);
    let (receiver, _, _pod) = pod(move |mut client: Client| {
        let ended = ended.clone();
        async move {
            let head = client.head().await;
            client.chunk().await;
            if head.starts_with("POST /answering.git/") {
                client.exactly("0\r\n\r\n".len()).await;
                client.send(&format!("HTTP/1.1 200 OK\r\n{CHUNKED}")).await;
                client.send_chunk("building").await;
            }
            client.ended().await;
            ended.send(head).await.unwrap();
        }
    })
    .await;
    let router = router(receiver).await;

    // In the middle of the pack.
    let mut client = router.connect().await;
    client.send(&format!("{PUSH}{CHUNKED}")).await;
    client.send_chunk("half a pack").await;
    drop(client);
    assert!(all_ended.recv().await.unwrap().starts_with("POST /demo.git/"));

    // In the middle of the answer, while there is nothing to say.
    let mut client = router.connect().await;
    client.send(&format!("{}{CHUNKED}", PUSH.replace("demo", "answering"))).await;
    client.send_chunk("a pack").await;
    client.send("0\r\n\r\n").await;
    client.head().await;
    assert_eq!(client.chunk().await, "building");
    drop(client);
    assert!(all_ended.recv().await.unwrap().starts_with("POST /answering.git/"));
}

#[tokio::test]
async fn a_receiver_that_ends_in_the_middle_cuts_the_answer() {
    let (receiver, _, _pod) = pod(async |mut client: Client| {
        client.head().await;
        client.send(&format!("HTTP/1.1 200 OK\r\n{CHUNKED}")).await;
        client.send_chunk("building").await;
    })
    .await;
    let router = router(receiver).await;
    let mut client = router.connect().await;
    client.send(&format!("{PUSH}Content-Length: 0\r\n\r\n")).await;
    client.head().await;
    assert_eq!(client.chunk().await, "building");
    let mut rest = Vec::new();
    client.0.read_to_end(&mut rest).await.ok();
    assert!(rest.is_empty(), "an answer that was cut must not look whole: {rest:?}");
}

#[tokio::test]
async fn a_receiver_that_starts_again_is_named_in_words() {
    let router = router(closed_port()).await;
    let mut client = router.connect().await;
    client
        .send("GET /demo.git/info/refs?service=git-receive-pack HTTP/1.1\r\nHost: s.localhost\r\n\r\n")
        .await;
    let (head, body) = client.answer().await;
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 503") && head.contains("retry-after: 2"), "{head}");
    // git prints a body of this type after `remote:`.
    assert!(head.contains("content-type: text/plain"), "{head}");
    assert!(body.contains("Slipway is starting") && body.contains("Try again"), "{body}");
}

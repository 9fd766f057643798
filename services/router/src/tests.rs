//! The proxy against real servers on loopback: streams, upgrades, kept connections, retries, shutdown.

mod streams;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use arc_swap::ArcSwap;
use sqlx::postgres::PgPoolOptions;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::proxy::Proxy;
use crate::serve;
use crate::situation::Situations;
use crate::table::{Routes, Target};
use crate::upstream::Upstream;
use crate::watch::Sight;

const HOST: &str = "main--demo.s.localhost";

struct Router {
    address: SocketAddr,
    routes: Arc<ArcSwap<Routes>>,
    sight: watch::Sender<Sight>,
    shutdown: CancellationToken,
    tasks: JoinSet<Result<()>>,
}

/// A router whose one environment has pods at `pods`.
async fn router(pods: &[SocketAddr]) -> Router {
    let router = started(Vec::new()).await;
    router.send_to(pods);
    router
}

/// A router with these fixed routes; there is no database.
async fn started(upstreams: Vec<Upstream>) -> Router {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Arc::new(ArcSwap::from_pointee(Routes::default()));
    let (sight, sees) = watch::channel(Sight::Clear);
    let db = PgPoolOptions::new()
        .acquire_timeout(Duration::from_millis(100))
        .connect_lazy("postgres://nobody@127.0.0.1:1/none")
        .unwrap();
    let situations = Situations::new(db, &"http://s.localhost".parse().unwrap());
    let proxy = Proxy::new("s.localhost:8080", upstreams, routes.clone(), sees, situations);
    let shutdown = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(serve::run(listener, Arc::new(proxy), shutdown.clone()));
    Router { address, routes, sight, shutdown, tasks }
}

impl Router {
    fn send_to(&self, pods: &[SocketAddr]) {
        let authorities: Vec<Arc<str>> = pods.iter().map(|pod| pod.to_string().into()).collect();
        let routes = if authorities.is_empty() {
            HashMap::new()
        } else {
            [("main--demo".to_owned(), Target { authorities })].into()
        };
        self.routes.store(Arc::new(routes));
    }

    async fn connect(&self) -> Client {
        Client(BufReader::new(TcpStream::connect(self.address).await.unwrap()))
    }
}

/// A client that sees the bytes.
struct Client(BufReader<TcpStream>);

impl Client {
    async fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).await.unwrap();
    }

    async fn get(&mut self, more: &str) {
        self.send(&format!("GET /a?b=c HTTP/1.1\r\nHost: {HOST}\r\n{more}\r\n")).await;
    }

    /// The head up to the empty line.
    async fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.0.read_line(&mut head).await.unwrap(), 0, "ended in: {head}");
        }
        head
    }

    async fn exactly(&mut self, bytes: usize) -> String {
        let mut buffer = vec![0; bytes];
        self.0.read_exact(&mut buffer).await.unwrap();
        String::from_utf8(buffer).unwrap()
    }

    /// The body that the head gives the length of.
    async fn answer(&mut self) -> (String, String) {
        let head = self.head().await;
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let body = self.exactly(length.unwrap_or_default()).await;
        (head, body)
    }
}

/// A pod that serves each connection with `serve`, and tells how many there were.
async fn pod<F>(
    serve: impl Fn(Client) -> F + Send + Sync + 'static,
) -> (SocketAddr, watch::Receiver<usize>, JoinSet<()>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (count, counted) = watch::channel(0);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            count.send_modify(|count| *count += 1);
            connections.spawn(serve(Client(BufReader::new(stream))));
        }
    });
    (address, counted, tasks)
}

/// Answers each request on a connection with the request's own head.
async fn echo_heads(mut client: Client) {
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if client.0.read_line(&mut head).await.unwrap_or(0) == 0 {
                return;
            }
        }
        client
            .send(&format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nKeep-Alive: timeout=5\r\n\r\n{head}",
                head.len()
            ))
            .await;
    }
}

async fn close_at_once(mut client: Client) {
    client.head().await;
}

/// Nobody listens there, and nobody is given this port.
fn closed_port() -> SocketAddr {
    ([127, 0, 0, 1], 1).into()
}

#[tokio::test]
async fn requests_pass_and_connections_are_kept() {
    let (address, connections, _pod) = pod(echo_heads).await;
    let router = router(&[address]).await;
    let mut client = router.connect().await;
    for _ in 0..3 {
        client.get("X-Forwarded-For: 1.2.3.4\r\nConnection: keep-alive\r\n").await;
        let (head, seen) = client.answer().await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(!head.to_ascii_lowercase().contains("keep-alive"), "{head}");
        let seen = seen.to_ascii_lowercase();
        assert!(seen.starts_with("get /a?b=c http/1.1\r\n"), "{seen}");
        assert!(seen.contains(&format!("host: {HOST}\r\n")), "{seen}");
        assert!(seen.contains("x-forwarded-for: 1.2.3.4, 127.0.0.1\r\n"), "{seen}");
        assert!(!seen.contains("connection:"), "{seen}");
    }
    assert_eq!(*connections.borrow(), 1, "one connection to the pod serves them all");
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    let (address, _, _pod) = pod(async |mut client: Client| {
        let head = client.head().await;
        assert!(head.to_ascii_lowercase().contains("transfer-encoding: chunked"), "{head}");
        // Answers each chunk as it comes: neither side waits for the other's end.
        client.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        for _ in 0..2 {
            let chunk = client.exactly("1\r\nx\r\n".len()).await;
            client.send(&chunk).await;
        }
        client.exactly("0\r\n\r\n".len()).await;
        client.send("0\r\n\r\n").await;
    })
    .await;
    let router = router(&[address]).await;
    let mut client = router.connect().await;
    client.send(&format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n")).await;
    client.send("1\r\na\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 200"));
    assert_eq!(client.exactly(6).await, "1\r\na\r\n");
    client.send("1\r\nb\r\n").await;
    assert_eq!(client.exactly(6).await, "1\r\nb\r\n");
    client.send("0\r\n\r\n").await;
    assert_eq!(client.exactly(5).await, "0\r\n\r\n");
}

#[tokio::test]
async fn upgrades_become_tunnels() {
    let (address, _, _pod) = pod(async |mut client: Client| {
        let head = client.head().await.to_ascii_lowercase();
        assert!(head.contains("connection: upgrade") && head.contains("upgrade: websocket"), "{head}");
        client
            .send(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello",
            )
            .await;
        let line = client.exactly(4).await;
        client.send(&line.to_uppercase()).await;
    })
    .await;
    let router = router(&[address]).await;
    let mut client = router.connect().await;
    client.get("Connection: Upgrade\r\nUpgrade: websocket\r\n").await;
    let head = client.head().await.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101") && head.contains("upgrade: websocket"), "{head}");
    assert_eq!(client.exactly(5).await, "hello");
    client.send("ping").await;
    assert_eq!(client.exactly(4).await, "PING");
}

#[tokio::test]
async fn a_dead_pod_is_passed_over() {
    let (good, _, _pod) = pod(echo_heads).await;
    let router = router(&[closed_port(), good]).await;
    let mut client = router.connect().await;
    for _ in 0..4 {
        client.send(&format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\n\r\n")).await;
        assert!(
            client.answer().await.0.starts_with("HTTP/1.1 200"),
            "a request that was never sent can go elsewhere"
        );
    }
}

#[tokio::test]
async fn only_what_may_be_sent_twice_is() {
    let (bad, tried, _bad) = pod(close_at_once).await;
    let (good, _, _good) = pod(echo_heads).await;
    let router = router(&[bad, good]).await;
    let mut client = router.connect().await;
    for _ in 0..2 {
        client.get("").await;
        assert!(client.answer().await.0.starts_with("HTTP/1.1 200"));
    }
    let before = *tried.borrow();
    assert_ne!(before, 0, "requests take turns, so one of the two met the bad pod first");

    router.send_to(&[bad]);
    client.send(&format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 1\r\n\r\nx")).await;
    let (head, body) = client.answer().await;
    assert!(head.starts_with("HTTP/1.1 502") && body.contains("without a response"), "{head}{body}");
    assert_eq!(*tried.borrow(), before + 1, "the pod may have acted on it");
}

#[tokio::test]
async fn a_kept_connection_that_ended_costs_nothing() {
    let (address, connections, _pod) = pod(async |mut client: Client| {
        client.head().await;
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    })
    .await;
    let router = router(&[address]).await;
    let mut client = router.connect().await;
    for round in 1..=20 {
        client.get("").await;
        assert!(client.answer().await.0.starts_with("HTTP/1.1 200"), "round {round}");
    }
    assert_eq!(*connections.borrow(), 20);
}

#[tokio::test]
async fn a_switch_takes_the_next_request_of_a_kept_connection() {
    let (old, on_old, _old) = pod(echo_heads).await;
    let (new, on_new, _new) = pod(echo_heads).await;
    let router = router(&[old]).await;
    let mut client = router.connect().await;
    client.get("").await;
    client.answer().await;
    router.send_to(&[new]);
    client.get("").await;
    client.answer().await;
    assert_eq!((*on_old.borrow(), *on_new.borrow()), (1, 1));
}

#[tokio::test]
async fn pages_for_what_cannot_be_reached() {
    let router = router(&[]).await;
    let mut client = router.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: elsewhere\r\nAccept: text/html\r\n\r\n").await;
    let (head, body) = client.answer().await;
    assert!(head.starts_with("HTTP/1.1 404") && body.contains("<h1>Nothing here</h1>"), "{head}{body}");
    client.get("").await;
    let (head, body) = client.answer().await;
    assert!(
        head.starts_with("HTTP/1.1 503") && body.starts_with("Not available"),
        "no database: {head}{body}"
    );
    router.send_to(&[closed_port()]);
    client.get("").await;
    let (head, body) = client.answer().await;
    assert!(head.starts_with("HTTP/1.1 502") && body.contains("cannot be connected to"), "{head}{body}");
}

#[tokio::test]
async fn right_after_the_start_requests_wait_for_the_pods() {
    let (address, _, _pod) = pod(echo_heads).await;
    let router = router(&[]).await;
    router.sight.send_replace(Sight::NotYet);
    let mut client = router.connect().await;
    client.get("").await;
    let mut early = [0; 1];
    let nothing = tokio::time::timeout(Duration::from_millis(50), client.0.get_mut().peek(&mut early)).await;
    assert!(nothing.is_err(), "an answer before anything is known");
    router.send_to(&[address]);
    router.sight.send_replace(Sight::Clear);
    assert!(client.answer().await.0.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn shutdown_lets_a_response_end() {
    let go_on = Arc::new(Notify::new());
    let told = go_on.clone();
    let (address, _, _pod) = pod(move |mut client: Client| {
        let told = told.clone();
        async move {
            client.head().await;
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab").await;
            told.notified().await;
            client.send("cd").await;
        }
    })
    .await;
    let mut router = router(&[address]).await;
    let mut client = router.connect().await;
    client.get("").await;
    client.head().await;
    router.shutdown.cancel();
    assert_eq!(client.exactly(2).await, "ab");
    go_on.notify_one();
    assert_eq!(client.exactly(2).await, "cd");
    router.tasks.join_next().await.unwrap().unwrap().unwrap();
    assert!(TcpStream::connect(router.address).await.is_err(), "nobody listens any more");
}

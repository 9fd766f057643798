//! A proxy in front of a registry that answers some requests by itself, wrongly, late or not at all.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use futures::StreamExt as _;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

const BODY_MAX: usize = 256 << 20;
/// No request of a build of ours takes this long.
const HOLD_MAX: Duration = Duration::from_secs(60);
const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Anything of a base image.
    Base,
    /// Whether a layer is there, or for a place to put it.
    Blob,
    /// A layer's bytes.
    BlobData,
    ManifestPut,
    /// The manifest, by us.
    Manifest,
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Status(u16),
    /// 429, with `Retry-After` in seconds.
    TooMany(u64),
    /// The connection ends in the middle of the request's body.
    Reset,
    Late(u64),
    /// Another digest than that of what was sent or asked for.
    WrongDigest,
    /// As if all were well; nothing is kept.
    Forgotten,
    /// Held until it is let go; nobody is told anything.
    Held,
    /// As `Held`, but the registry has done what it was asked.
    HeldDone,
}

impl Asked {
    pub const fn words(self) -> &'static str {
        match self {
            Asked::Base => "base image pulled",
            Asked::Blob => "layer announced",
            Asked::BlobData => "blob pushing",
            Asked::ManifestPut => "manifest pushing",
            Asked::Manifest => "digest confirmed",
            Asked::Other => "other",
        }
    }
}

impl Answer {
    pub fn words(self) -> String {
        match self {
            Answer::Status(status) => status.to_string(),
            Answer::TooMany(seconds) => format!("429, Retry-After: {seconds}"),
            Answer::Reset => "connection reset".to_owned(),
            Answer::Late(seconds) => format!("answers {seconds} s late"),
            Answer::WrongDigest => "wrong digest".to_owned(),
            Answer::Forgotten => "accepts and forgets".to_owned(),
            Answer::Held | Answer::HeldDone => "held".to_owned(),
        }
    }
}

/// It ends when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    pub address: SocketAddr,
    inner: Arc<Inner>,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Inner {
    client: reqwest::Client,
    registry: String,
    /// Where base images are.
    mirror: String,
    rule: Mutex<Option<Rule>>,
    /// How often the rule was followed.
    hits: watch::Sender<u32>,
    released: watch::Sender<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Rule {
    asked: Asked,
    answer: Answer,
    times: u32,
}

/// `registry` and `mirror` are `HOST:PORT`.
pub async fn start(registry: String, mirror: String) -> Result<Proxy> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("binding")?;
    let address = listener.local_addr()?;
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    let (hits, released) = (watch::Sender::new(0), watch::Sender::new(0));
    let inner = Arc::new(Inner { client, registry, mirror, rule: Mutex::new(None), hits, released });
    let mut tasks = JoinSet::new();
    let shared = inner.clone();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let inner = shared.clone();
            connections.spawn(async move {
                let service = hyper::service::service_fn(move |request| {
                    let inner = inner.clone();
                    async move { serve(&inner, request).await }
                });
                // An error of the service ends the connection without an answer: that is what it is for.
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await
                    .ok();
            });
            while connections.try_join_next().is_some() {}
        }
    });
    Ok(Proxy { address, inner, _tasks: tasks })
}

/// From now on requests of this kind are answered so, that many times. There is one rule at a time.
pub fn rule(proxy: &Proxy, asked: Asked, answer: Answer, times: u32) {
    proxy.inner.hits.send_replace(0);
    *lock(&proxy.inner) = Some(Rule { asked, answer, times });
}

/// No rule any more, and what is held goes on.
pub fn clear(proxy: &Proxy) {
    *lock(&proxy.inner) = None;
    proxy.inner.released.send_modify(|n| *n += 1);
}

/// Returns when the rule was followed for the first time.
pub async fn hit(proxy: &Proxy) {
    let mut hits = proxy.inner.hits.subscribe();
    hits.wait_for(|hits| *hits > 0).await.ok();
}

fn lock(inner: &Inner) -> MutexGuard<'_, Option<Rule>> {
    inner.rule.lock().unwrap_or_else(PoisonError::into_inner)
}

fn applies(inner: &Inner, asked: Asked) -> Option<Answer> {
    let mut rule = lock(inner);
    let found = rule.as_mut().filter(|rule| rule.asked == asked && rule.times > 0)?;
    found.times -= 1;
    inner.hits.send_modify(|hits| *hits += 1);
    Some(found.answer)
}

fn asked(request: &Request<Incoming>) -> Asked {
    let (method, path) = (request.method(), request.uri().path());
    let agent = request.headers().get(header::USER_AGENT).and_then(|it| it.to_str().ok()).unwrap_or_default();
    if path.starts_with("/v2/library/") {
        Asked::Base
    } else if path.contains("/blobs/uploads/") && (method == Method::PATCH || method == Method::PUT) {
        Asked::BlobData
    } else if path.contains("/blobs/") && method != Method::GET {
        Asked::Blob
    } else if path.contains("/manifests/") && method == Method::PUT {
        Asked::ManifestPut
    } else if path.contains("/manifests/") && !agent.contains("buildkit") {
        Asked::Manifest
    } else {
        Asked::Other
    }
}

async fn serve(inner: &Inner, request: Request<Incoming>) -> Result<Response<Body>> {
    let asked = asked(&request);
    match applies(inner, asked) {
        None => pass(inner, request, asked).await,
        Some(Answer::Status(status)) => Ok(empty(status)),
        Some(Answer::TooMany(seconds)) => {
            let mut response = empty(429);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            Ok(response)
        }
        Some(Answer::Reset) => {
            let mut body = Body::new(request.into_body()).into_data_stream();
            body.next().await;
            bail!("reset");
        }
        Some(Answer::Late(seconds)) => {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            pass(inner, request, asked).await
        }
        Some(Answer::WrongDigest) => wrong(inner, request, asked).await,
        Some(Answer::Forgotten) => forget(request).await,
        Some(Answer::Held) => {
            held(inner).await;
            pass(inner, request, asked).await
        }
        Some(Answer::HeldDone) => {
            let response = pass(inner, request, asked).await;
            held(inner).await;
            response
        }
    }
}

async fn held(inner: &Inner) {
    let mut released = inner.released.subscribe();
    let before = *released.borrow_and_update();
    tokio::time::timeout(HOLD_MAX, released.wait_for(|n| *n > before)).await.ok();
}

fn empty(status: u16) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

async fn pass(inner: &Inner, request: Request<Incoming>, asked: Asked) -> Result<Response<Body>> {
    let host = if asked == Asked::Base { &inner.mirror } else { &inner.registry };
    let target = request.uri().path_and_query().map_or("/", |it| it.as_str());
    let url = format!("http://{host}{target}");
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(Body::new(body), BODY_MAX).await?;
    let mut forwarded = inner.client.request(parts.method, url).body(body);
    // The host too: the registry names places by it.
    for (name, value) in parts.headers.iter().filter(|(name, _)| !is_of_one_hop(name)) {
        forwarded = forwarded.header(name, value);
    }
    let answer = forwarded.send().await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answer.status();
    for (name, value) in answer.headers().iter().filter(|(name, _)| *name != header::TRANSFER_ENCODING) {
        response.headers_mut().append(name, value.clone());
    }
    *response.body_mut() = Body::from_stream(answer.bytes_stream());
    Ok(response)
}

fn is_of_one_hop(name: &HeaderName) -> bool {
    [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION, header::EXPECT].contains(name)
}

/// What is put is not what the answer says; what is got is not what was asked for.
async fn wrong(inner: &Inner, request: Request<Incoming>, asked: Asked) -> Result<Response<Body>> {
    let is_put = request.method() == Method::PUT;
    let response = pass(inner, request, asked).await?;
    let (mut parts, body) = response.into_parts();
    let mut bytes = axum::body::to_bytes(body, BODY_MAX).await?.to_vec();
    if is_put {
        let digest = format!("sha256:{}", "0".repeat(64));
        parts.headers.insert(DIGEST, HeaderValue::from_str(&digest)?);
    } else {
        bytes.push(b'\n');
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

async fn forget(request: Request<Incoming>) -> Result<Response<Body>> {
    let body: Bytes = axum::body::to_bytes(Body::new(request.into_body()), BODY_MAX).await?;
    let mut response = empty(201);
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(&body)));
    response.headers_mut().insert(DIGEST, HeaderValue::from_str(&digest)?);
    Ok(response)
}

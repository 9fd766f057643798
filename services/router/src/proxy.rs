//! One request: where it goes, how it gets there, and what is said when it cannot.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version, header};
use hyper::body::Incoming;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::body::{self, Body};
use crate::page::{self, Page};
use crate::pool::Pool;
use crate::situation::Situations;
use crate::table::Routes;
use crate::upstream::{self, Upstream, bare_host};
use crate::watch::Sight;
use crate::{header as headers, tunnel};

/// A request is tried at most so often: on a kept connection, on a new one, and on what the routes say by then.
const ATTEMPTS: usize = 3;
/// A pod that ends refuses connections a moment before the watch says so.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a request waits for the first list of pods after the router started.
const SIGHT_PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Proxy {
    /// The base domain with a leading dot and without a port.
    suffix: String,
    upstreams: Vec<Upstream>,
    routes: Arc<ArcSwap<Routes>>,
    sight: watch::Receiver<Sight>,
    situations: Situations,
    pub(crate) pool: Pool,
    /// Upgraded connections.
    pub(crate) tunnels: TaskTracker,
    pub(crate) shutdown: CancellationToken,
    turn: AtomicUsize,
}

/// Where a request goes.
enum Way<'a> {
    Upstream(&'a Upstream),
    /// The environment with this first label of its host.
    Environment(String),
    Nowhere,
}

enum Failure {
    /// No pod of the environment answers.
    NoTarget,
    /// What was tried last failed like this.
    Broken(String),
}

impl Proxy {
    pub(crate) fn new(
        base_domain: &str,
        upstreams: Vec<Upstream>,
        routes: Arc<ArcSwap<Routes>>,
        sight: watch::Receiver<Sight>,
        situations: Situations,
    ) -> Proxy {
        Proxy {
            suffix: format!(".{}", bare_host(base_domain).to_ascii_lowercase()),
            upstreams,
            routes,
            sight,
            situations,
            pool: Pool::default(),
            tunnels: TaskTracker::new(),
            shutdown: CancellationToken::new(),
            turn: AtomicUsize::new(0),
        }
    }

    fn way(&self, host: &str, path: &str) -> Way<'_> {
        if let Some(upstream) = upstream::find(&self.upstreams, host, path) {
            return Way::Upstream(upstream);
        }
        match host.strip_suffix(&self.suffix) {
            Some(label) if !label.contains('.') => Way::Environment(label.to_owned()),
            _ => Way::Nowhere,
        }
    }

    /// The next authority in turn. `not` is one that has just failed: rather another, if there is one.
    fn target(&self, way: &Way<'_>, not: Option<&Arc<str>>) -> Option<Arc<str>> {
        match way {
            Way::Upstream(upstream) => Some(upstream.authority.clone()),
            Way::Environment(label) => {
                let routes = self.routes.load();
                let all = &routes.get(label)?.authorities;
                let turn = self.turn.fetch_add(1, Ordering::Relaxed);
                let in_turn = || (0..all.len()).filter_map(|n| all.get((turn + n) % all.len()));
                in_turn().find(|authority| Some(*authority) != not).or_else(|| in_turn().next()).cloned()
            }
            Way::Nowhere => None,
        }
    }

    /// Right after the start nothing is known yet, which must not look like "unknown".
    async fn wait_for_sight(&self) {
        let mut sight = self.sight.clone();
        // Either it is seen in time, or the page says what is known.
        let _ = timeout(SIGHT_PATIENCE, sight.wait_for(|sight| *sight != Sight::NotYet)).await;
    }
}

pub(crate) async fn handle(
    proxy: &Proxy,
    peer: SocketAddr,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let wants_html = page::wants_html(request.headers());
    let Some(host) = host_of(&mut request) else {
        return page::render(&Page::bad_request(), wants_html);
    };
    let way = proxy.way(&host, request.uri().path());
    if let Way::Environment(label) = &way
        && !proxy.routes.load().contains_key(label)
    {
        proxy.wait_for_sight().await;
    }
    let failure = match forward(proxy, &way, peer, request).await {
        Ok(response) => return response,
        Err(failure) => failure,
    };
    let page = match (&way, failure) {
        (Way::Environment(label), Failure::NoTarget) => proxy.situations.page(label, &host).await,
        (Way::Environment(_), Failure::Broken(error)) => Page::broken(&error),
        (Way::Upstream(_), Failure::NoTarget | Failure::Broken(_)) => Page::platform_away(),
        (Way::Nowhere, _) => Page::unknown(&host),
    };
    page::render(&page, wants_html)
}

/// The request's host, lower-case and without its port. Makes sure that there is a Host header to pass on.
fn host_of(request: &mut Request<Incoming>) -> Option<String> {
    if let Some(authority) = request.uri().authority() {
        let value = header::HeaderValue::from_str(authority.as_str()).ok()?;
        request.headers_mut().insert(header::HOST, value);
    }
    let host = request.headers().get(header::HOST)?.to_str().ok()?;
    Some(bare_host(host).to_ascii_lowercase())
}

async fn forward(
    proxy: &Proxy,
    way: &Way<'_>,
    peer: SocketAddr,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Failure> {
    let upgrade = headers::upgrade_of(request.headers());
    let client = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
    headers::make_end_to_end(request.headers_mut(), upgrade);
    headers::add_forwarded(request.headers_mut(), peer.ip());
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse::<Uri>().unwrap_or_default();
    *request.version_mut() = Version::HTTP_11;

    let (authority, sender, response) = send(proxy, way, request).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        proxy.pool.put_back(authority, sender);
        return Ok(returned(response, None));
    }
    let upgrade = headers::upgrade_of(response.headers());
    let mut response = response;
    if let Some(client) = client {
        let server = hyper::upgrade::on(&mut response);
        proxy.tunnels.spawn(tunnel::carry(client, server, proxy.shutdown.clone()));
    }
    Ok(returned(response, upgrade))
}

fn returned(response: Response<Incoming>, upgrade: Option<header::HeaderValue>) -> Response<Body> {
    let mut response = response.map(body::pass_on);
    headers::make_end_to_end(response.headers_mut(), upgrade);
    *response.version_mut() = Version::HTTP_11;
    response
}

/// Sends until there is a response. A request that was never written to a connection goes to the next; one that may
/// have been seen goes again only if it means the same twice and has no body, which is used up by then.
async fn send(
    proxy: &Proxy,
    way: &Way<'_>,
    request: Request<Incoming>,
) -> Result<(Arc<str>, crate::pool::Sender, Response<Incoming>), Failure> {
    let again = Again::of(&request);
    let mut request = request.map(body::pass_on);
    let mut failed: Option<(Arc<str>, String)> = None;
    for attempt in 0..ATTEMPTS {
        let not = failed.as_ref().map(|(authority, _)| authority);
        let Some(authority) = proxy.target(way, not) else { break };
        // A new connection after a failure: others that are idle may have ended together with the first.
        let kept = if attempt == 0 { proxy.pool.take(&authority) } else { None };
        let mut sender = match kept {
            Some(sender) => sender,
            None => match proxy.pool.connect(&authority).await {
                Ok(sender) => sender,
                Err(error) => {
                    failed = Some((authority, format!("it cannot be connected to: {error}")));
                    tokio::time::sleep(ATTEMPT_PAUSE).await;
                    continue;
                }
            },
        };
        let mut error = match sender.try_send_request(request).await {
            Ok(response) => return Ok((authority, sender, response)),
            Err(error) => error,
        };
        let message = format!("it closed the connection without a response: {}", error.error());
        request = match (error.take_message(), &again) {
            (Some(unsent), _) => unsent,
            (None, Some(again)) => again.request(),
            (None, None) => return Err(Failure::Broken(message)),
        };
        failed = Some((authority, message));
    }
    Err(failed.map_or(Failure::NoTarget, |(_, error)| Failure::Broken(error)))
}

/// A request that may be sent twice: it means the same then, and has no body.
struct Again {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

impl Again {
    fn of<B: hyper::body::Body>(request: &Request<B>) -> Option<Again> {
        let may = request.method().is_idempotent() && request.body().is_end_stream();
        may.then(|| Again {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
        })
    }

    fn request(&self) -> Request<Body> {
        let mut request = Request::new(body::empty());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

//! Connections to pods and upstreams, kept for the next request.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use crate::body::Body;

/// Below the five seconds after which Node.js closes a connection it sees no request on: a request that meets the
/// closing is lost unless it may be sent twice.
const IDLE_MAX: Duration = Duration::from_secs(3);
const IDLE_PER_AUTHORITY_MAX: usize = 64;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

pub(crate) type Sender = SendRequest<Body>;

struct Idle {
    sender: Sender,
    since: Instant,
}

/// Clones share the connections.
#[derive(Clone, Default)]
pub(crate) struct Pool {
    idle: Arc<Mutex<HashMap<Arc<str>, Vec<Idle>>>>,
    tasks: TaskTracker,
}

impl Pool {
    /// A connection that was used before, if one is idle.
    pub(crate) fn take(&self, authority: &str) -> Option<Sender> {
        let mut idle = self.lock();
        let kept = idle.get_mut(authority)?;
        while let Some(Idle { sender, since }) = kept.pop() {
            if since.elapsed() < IDLE_MAX && sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    pub(crate) async fn connect(&self, authority: &str) -> io::Result<Sender> {
        let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(authority)).await??;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        self.tasks.spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!("a connection to a pod ended: {error}");
            }
        });
        Ok(sender)
    }

    /// Keeps the connection once the response that is on it has been read.
    pub(crate) fn put_back(&self, authority: Arc<str>, mut sender: Sender) {
        let pool = self.clone();
        self.tasks.spawn(async move {
            if sender.ready().await.is_ok() {
                let mut idle = pool.lock();
                let kept = idle.entry(authority).or_default();
                if kept.len() < IDLE_PER_AUTHORITY_MAX {
                    kept.push(Idle { sender, since: Instant::now() });
                }
            }
        });
    }

    /// Lets go of what was idle for too long; pods come and go.
    pub(crate) fn sweep(&self) {
        self.lock().retain(|_, kept| {
            kept.retain(|idle| idle.since.elapsed() < IDLE_MAX && !idle.sender.is_closed());
            !kept.is_empty()
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Vec<Idle>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Reaching buildkitd, and checking that it is one we can work with.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bollard_buildkit_proto::moby::buildkit::v1 as proto;
use proto::control_client::ControlClient;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

use crate::{MESSAGE_MAX, SolveError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);
/// A daemon that vanished without closing its connections is noticed after twice this long.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// An error carries the whole Dockerfile in its trailer; with the usual 16 KiB the stream would break instead.
const HEADERS_MAX: u32 = 16 << 20;

/// Older ones have known holes that a build can use (GHSA-hw3h and its kin).
const OLDEST: Version = Version(0, 31, 2);
/// Others lack the speed that builds count on.
const SNAPSHOTTER: &str = "overlayfs";
const SNAPSHOTTER_LABEL: &str = "org.mobyproject.buildkit.worker.snapshotter";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32, u32);

/// Which daemon it is that answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub version: String,
    /// It lies beside what the daemon keeps: another one when that was lost.
    pub worker: String,
}

/// A channel to the daemon at `tcp://HOST:PORT` or `unix:///PATH`. It connects when first used, and again after a
/// loss, so one channel lasts for the life of the process.
pub fn connect(address: &str) -> Result<Channel> {
    let uri = match address.strip_prefix("tcp://") {
        Some(host) => format!("http://{host}"),
        None if address.starts_with("unix://") => address.to_owned(),
        None => bail!("BuildKit's address is tcp://HOST:PORT or unix:///PATH, not {address:?}"),
    };
    let endpoint =
        Endpoint::from_shared(uri).with_context(|| format!("BuildKit's address {address:?} is not valid"))?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_header_list_size(HEADERS_MAX)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .connect_lazy())
}

/// Fails when the daemon does not answer, is too old or is set up in a way that builds cannot count on.
pub async fn check(channel: &Channel) -> Result<Identity, SolveError> {
    let mut client = control(channel);
    let info = client.info(request(proto::InfoRequest {})).await?.into_inner();
    let version = info.buildkit_version.unwrap_or_default().version;
    let workers = client.list_workers(request(proto::ListWorkersRequest::default())).await?.into_inner();
    let snapshotters =
        workers.record.iter().map(|worker| worker.labels.get(SNAPSHOTTER_LABEL).map_or("", |it| it));
    check_version(&version)
        .and_then(|()| check_snapshotters(snapshotters))
        .map_err(|error| SolveError::Other { message: error.to_string() })?;
    let worker = workers.record.into_iter().next().map(|worker| worker.id).unwrap_or_default();
    Ok(Identity { version, worker })
}

/// Drops everything that the daemon keeps and that no build uses just now.
pub(crate) async fn prune_all(channel: &Channel) -> Result<(), SolveError> {
    let all = proto::PruneRequest { all: true, ..proto::PruneRequest::default() };
    let mut dropped = control(channel).prune(all).await?.into_inner();
    while dropped.message().await?.is_some() {}
    Ok(())
}

pub(crate) fn control(channel: &Channel) -> ControlClient<Channel> {
    ControlClient::new(channel.clone())
        .max_decoding_message_size(MESSAGE_MAX)
        .max_encoding_message_size(MESSAGE_MAX)
}

fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(CHECK_TIMEOUT);
    request
}

fn check_version(version: &str) -> Result<()> {
    let Version(major, minor, patch) = OLDEST;
    match parse_version(version) {
        Some(parsed) if parsed >= OLDEST => Ok(()),
        Some(_) => {
            bail!("BuildKit {version} has known security holes: run v{major}.{minor}.{patch} or newer")
        }
        None => bail!("BuildKit does not say which version it is ({version:?}): run a released one"),
    }
}

/// `v0.33.1` and `v0.33.1-rc1`; a build from nowhere in particular says v0.0.0+unknown, which is none.
fn parse_version(version: &str) -> Option<Version> {
    let numbers = version.trim_start_matches('v').split(['-', '+']).next()?;
    let mut numbers = numbers.split('.').map(|it| it.parse().ok());
    let version = Version(numbers.next()??, numbers.next()??, numbers.next()??);
    (version != Version(0, 0, 0)).then_some(version)
}

fn check_snapshotters<'a>(snapshotters: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut any = false;
    for snapshotter in snapshotters {
        any = true;
        if snapshotter != SNAPSHOTTER {
            bail!(
                "BuildKit's worker uses the snapshotter {snapshotter:?}: set {SNAPSHOTTER:?} in buildkitd.toml"
            );
        }
    }
    if any { Ok(()) } else { bail!("BuildKit has no worker: look at its log") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for good in ["v0.31.2", "v0.33.1", "0.32.0-rc1", "v1.0.0"] {
            assert!(check_version(good).is_ok(), "{good}");
        }
        for bad in ["v0.31.1", "v0.29.0", "v0.0.0+unknown", "", "v0.33"] {
            assert!(check_version(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn snapshotters() {
        assert!(check_snapshotters(["overlayfs"].into_iter()).is_ok());
        assert!(check_snapshotters(["overlayfs", "native"].into_iter()).is_err());
        assert!(check_snapshotters([].into_iter()).is_err());
    }

    #[tokio::test]
    async fn addresses() {
        assert!(connect("tcp://buildkitd:1234").is_ok());
        assert!(connect("unix:///run/buildkit/buildkitd.sock").is_ok());
        for bad in ["buildkitd:1234", "http://buildkitd", "tcp://", ""] {
            assert!(connect(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_daemon_that_is_not_there_is_unavailable() {
        let channel = connect("unix:///nowhere/buildkitd.sock").unwrap();
        let error = check(&channel).await.unwrap_err();
        assert!(matches!(error, SolveError::Unavailable { .. }), "{error}");
    }
}

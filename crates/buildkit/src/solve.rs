//! One build: Solve and its Status stream, side by side.

mod wire;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error as _;
use std::pin::pin;
use std::time::Duration;

use bollard_buildkit_proto::moby::buildkit::v1 as proto;
use bytes::Bytes;
use futures::{StreamExt, TryFutureExt};
use llb::Definition;
use redact::Redactor;
use tonic::{Response, Status};

use crate::bounded::Sender;
use crate::progress::{Event, Progress};
use crate::{Channel, Names, SolveError, daemon, error};

/// How long the rest of the status may keep us waiting once the build is over.
const STATUS_REST: Duration = Duration::from_secs(5);

/// A Dockerfile build, and what of it is pushed.
#[derive(Clone, Debug, PartialEq)]
pub struct SolveRequest {
    /// Names this attempt; no other may have used it.
    pub reference: String,
    /// The [`crate::session::Session`] that serves it.
    pub session_id: String,
    /// By name, from [`llb::dockerfile::inputs`].
    pub inputs: BTreeMap<String, Definition>,
    /// Options of the Dockerfile frontend, such as `build-arg:NAME` and `target`.
    pub frontend_attrs: BTreeMap<String, String>,
    /// A cache that an earlier build pushed: `HOST/NAME@DIGEST`. When it is gone, the build goes on without.
    pub import: Option<String>,
    pub push: Push,
}

/// Where it goes: `HOST/NAME:TAG`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Push {
    Image(String),
    /// What the steps made, for another daemon to import. What this one does not have any more is made again.
    Cache(String, CacheMode),
}

/// The results of which steps a pushed cache holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheMode {
    /// Those whose layers the image has.
    Min,
    /// All, of all stages.
    Max,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Solved {
    /// Of the pushed manifest.
    pub digest: String,
}

/// Builds and pushes. Steps and lines go to `events` as they come, all of them before this returns and none with a
/// secret in it that `redactor` knows, under the names that `names` gives them; a receiver that went away stops only
/// them. While `events` is full BuildKit keeps what the steps write, and they go on. Dropping the future cancels the
/// build.
pub async fn solve(
    channel: &Channel,
    request: SolveRequest,
    redactor: &Redactor,
    names: Names,
    events: &Sender<Event>,
) -> Result<Solved, SolveError> {
    let mut solving = daemon::control(channel);
    let mut watching = daemon::control(channel);
    let status_request = proto::StatusRequest { r#ref: request.reference.clone() };
    let push = request.push.clone();
    let mut solve = pin!(solving.solve(wire::request(request)));
    let mut status = pin!(watching.status(status_request).map_ok(Response::into_inner).try_flatten_stream());
    let mut progress = Progress::new(redactor.clone(), names);
    let mut watched = true;
    let outcome = loop {
        tokio::select! {
            outcome = &mut solve => break outcome,
            message = status.next(), if watched => watched = follow(message, &mut progress, events).await,
        }
    };
    while watched {
        let Ok(message) = tokio::time::timeout(STATUS_REST, status.next()).await else {
            tracing::warn!("the status of a finished build did not end");
            break;
        };
        watched = follow(message, &mut progress, events).await;
    }
    send(progress.finish(), events).await;
    match outcome {
        Ok(response) => wire::solved(response.into_inner(), &push),
        Err(status) => Err(error::classify(&without_secrets(status, redactor), &progress)),
    }
}

/// A command that failed is told with its arguments. What the transport says itself, which a source shows, has none.
fn without_secrets(status: Status, redactor: &Redactor) -> Status {
    let redacted = match redactor.redact(status.message()) {
        Cow::Owned(message) => Some(message),
        Cow::Borrowed(_) => None,
    };
    match redacted.filter(|_| status.source().is_none()) {
        Some(message) => {
            Status::with_details(status.code(), message, Bytes::copy_from_slice(status.details()))
        }
        None => status,
    }
}

/// Passes on what the next message says. Gives whether there may be more.
async fn follow(
    message: Option<Result<proto::StatusResponse, Status>>,
    progress: &mut Progress,
    events: &Sender<Event>,
) -> bool {
    match message {
        Some(Ok(message)) => send(progress.apply(&message), events).await,
        Some(Err(status)) => {
            // The outcome of the build is Solve's to tell.
            tracing::warn!(%status, "the status of a build broke off");
            false
        }
        None => false,
    }
}

async fn send(all: Vec<Event>, events: &Sender<Event>) -> bool {
    for event in all {
        let bytes = event.bytes();
        if events.send(event, bytes).await.is_err() {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_no_secret() {
        let redactor = Redactor::new([("TOKEN", &b"hunter2-hunter2"[..])]);
        let details = Bytes::from_static(b"details");
        let status = Status::with_details(tonic::Code::Unknown, "process \"curl hunter2-hunter2\"", details);
        let told = without_secrets(status, &redactor);
        assert_eq!(told.message(), "process \"curl [secret TOKEN]\"");
        assert_eq!((told.code(), told.details()), (tonic::Code::Unknown, &b"details"[..]));
    }
}

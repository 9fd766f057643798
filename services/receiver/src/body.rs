//! Reading a delivery's body: all of it is measured, and no more is kept than allowed, over all requests together.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use host::Problem;
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// GitHub's largest delivery is 25 MB; the rest is for what a form's encoding adds to a smaller one.
pub(crate) const BODY_MAX: usize = 26 << 20;
/// What is over the limit is still read this far, and dropped: a client that is cut off while it sends never sees the
/// answer that tells it why.
const READ_MAX: u64 = 64 << 20;
/// Gogs gives a delivery 15 s.
const READ_TIME_MAX: Duration = Duration::from_secs(30);
/// All bodies held at once. The pod's memory limit must leave room for it.
const MEMORY_MAX: usize = 128 << 20;
/// Memory is counted in pieces of this size.
const PIECE: usize = 16 << 10;

/// The memory that bodies may take.
#[derive(Clone, Debug)]
pub(crate) struct Memory(Arc<Semaphore>);

impl Memory {
    pub(crate) fn new() -> Memory {
        Memory(Arc::new(Semaphore::new(MEMORY_MAX / PIECE)))
    }
}

/// A body, read to its end or as far as anybody would.
#[derive(Debug)]
pub(crate) struct Received {
    /// Empty when the body is longer than what was to be kept.
    pub(crate) kept: Vec<u8>,
    pub(crate) size: u64,
    pub(crate) sha256: [u8; 32],
    /// Frees the memory again when the body is dropped.
    memory: Option<OwnedSemaphorePermit>,
}

impl Received {
    pub(crate) fn is_whole(&self) -> bool {
        self.kept.len() as u64 == self.size
    }
}

/// Reads `body` and keeps it if it is at most `keep_max` long.
pub(crate) async fn read(body: Body, keep_max: usize, memory: &Memory) -> Result<Received, Problem> {
    match tokio::time::timeout(READ_TIME_MAX, read_slowly(body, keep_max, memory)).await {
        Ok(received) => received,
        Err(_) => Err(Problem::client(StatusCode::REQUEST_TIMEOUT, "the body took too long to arrive")),
    }
}

async fn read_slowly(mut body: Body, keep_max: usize, memory: &Memory) -> Result<Received, Problem> {
    let mut received = Received { kept: Vec::new(), size: 0, sha256: [0; 32], memory: None };
    let mut hash = Sha256::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Problem::client(StatusCode::BAD_REQUEST, format!("the body did not arrive: {error}"))
        })?;
        let Some(data) = frame.data_ref() else { continue };
        hash.update(data);
        received.size += data.len() as u64;
        if received.size <= keep_max as u64 {
            reserve(&mut received, data.len(), memory)?;
            received.kept.extend_from_slice(data);
        } else {
            received.kept = Vec::new();
            received.memory = None;
        }
        if received.size > READ_MAX {
            break;
        }
    }
    received.sha256 = hash.finalize().into();
    Ok(received)
}

/// Takes from the memory what `more` bytes need; a flood of large bodies is refused before it fills the pod.
fn reserve(received: &mut Received, more: usize, memory: &Memory) -> Result<(), Problem> {
    let needed = (received.kept.len() + more).div_ceil(PIECE);
    let held = received.memory.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
    if needed <= held {
        return Ok(());
    }
    // Doubled like the vector it stands for, which may hold twice what is in it.
    let wanted = u32::try_from(needed * 2 - held).unwrap_or(u32::MAX);
    let busy = || {
        Problem::client(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many large deliveries at once: deliver it again",
        )
    };
    let permit = memory.0.clone().try_acquire_many_owned(wanted).map_err(|_| busy())?;
    match &mut received.memory {
        Some(held) => held.merge(permit),
        none => *none = Some(permit),
    }
    Ok(())
}

//! Why a build failed and whose fault it is: told from BuildKit's error details, and where those are silent its text.

use std::error::Error;

use domain::reason::{Reason, ReasonCode};
use tonic::{Code, Status};

use crate::corrupt;
use crate::details::{self, SourceLine};
use crate::progress::{Progress, Step};

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SolveError {
    // the user's
    #[error("{step} failed: {message}")]
    StepFailed {
        step: String,
        exit_code: Option<u32>,
        message: String,
        /// The last ones that it wrote.
        lines: Vec<String>,
    },
    #[error("Dockerfile{}: {message}", line.as_ref().map(|it| format!(" line {}", it.number)).unwrap_or_default())]
    DockerfileInvalid { line: Option<SourceLine>, message: String },
    #[error("the base image {image} cannot be had: {message}")]
    BaseImageMissing { image: String, message: String },

    // the platform's
    #[error("BuildKit is not reachable: {message}")]
    Unavailable { message: String },
    /// What BuildKit keeps on its disk is not what it wrote there, or not all of it.
    #[error("BuildKit's cache is damaged: {message}")]
    CacheCorrupt {
        message: String,
        /// No other explanation is left. Else it may have been a transfer, the first time.
        is_certain: bool,
    },
    #[error("the registry does not answer: {message}")]
    RegistryUnavailable { message: String },
    #[error("the registry refuses the image: {message}")]
    RegistryRefused { message: String },
    #[error("BuildKit failed: {message}")]
    Other { message: String },
}

impl From<Status> for SolveError {
    fn from(status: Status) -> SolveError {
        classify(&status, &Progress::default())
    }
}

/// The reason that people are shown.
pub fn reason(error: &SolveError) -> Reason {
    let (code, lines) = match error {
        SolveError::StepFailed { lines, .. } => (ReasonCode::StepFailed, lines.clone()),
        SolveError::DockerfileInvalid { line, .. } => {
            (ReasonCode::DockerfileInvalid, line.iter().map(|it| it.text.clone()).collect())
        }
        SolveError::BaseImageMissing { .. } => (ReasonCode::BaseImageMissing, vec![]),
        SolveError::Unavailable { .. } => (ReasonCode::BuildkitUnavailable, vec![]),
        SolveError::CacheCorrupt { .. } => (ReasonCode::CacheCorrupt, vec![]),
        SolveError::RegistryUnavailable { .. } => (ReasonCode::RegistryUnavailable, vec![]),
        SolveError::RegistryRefused { .. } => (ReasonCode::RegistryRefused, vec![]),
        SolveError::Other { .. } => (ReasonCode::Internal, vec![]),
    };
    Reason::new(code, error.to_string().replace('\n', " ")).with_lines(lines)
}

pub(crate) fn classify(status: &Status, progress: &Progress) -> SolveError {
    let message = status.message().to_owned();
    // A status with a source was made here, from what the transport said. BuildKit cancels only when it ends.
    let ended =
        matches!(status.code(), Code::Unavailable | Code::Cancelled) || message.ends_with("context canceled");
    if let Some(cause) = std::iter::successors(status.source(), |&error| error.source()).last() {
        let cause = cause.to_string();
        let message = if cause == message { message } else { format!("{message}: {cause}") };
        return SolveError::Unavailable { message };
    }
    if ended {
        return SolveError::Unavailable { message };
    }
    let details = details::decode(status.details());
    if let Some(is_certain) = corrupt::judge(&message, details.exit_code) {
        return SolveError::CacheCorrupt { message, is_certain };
    }
    let step = details.vertices.iter().find_map(|digest| Some((digest, progress.step(digest)?)));
    if let Some((digest, step)) = step {
        return step_fault(step, details.exit_code, &message, progress.last_lines(digest));
    }
    if message.starts_with("failed to push ") {
        return push_fault(message);
    }
    if let Some((image, cause)) = message.split_once(": failed to resolve source metadata for ") {
        return base_image_fault(image, cause);
    }
    if details.line.is_some() || DOCKERFILE_FAULTS.iter().any(|it| message.contains(it)) {
        let message = match message.strip_prefix("dockerfile parse error on line ") {
            Some(rest) => rest.split_once(": ").map_or(rest, |(_, cause)| cause).to_owned(),
            None => message,
        };
        return SolveError::DockerfileInvalid { line: details.line, message };
    }
    SolveError::Other { message }
}

/// In characters.
const STEP_NAME_MAX: usize = 120;

/// Faults of the Dockerfile for which BuildKit names no line.
const DOCKERFILE_FAULTS: [&str; 3] =
    ["the Dockerfile cannot be empty", "security.insecure is not allowed", "network.host is not allowed"];

/// What only a platform can do to a step.
const PLATFORM_FAULTS: [&str; 6] = [
    "no space left on device",
    "input/output error",
    "error from sender",
    "no active session",
    "context deadline exceeded",
    "failed to mount",
];

/// As programs say it.
const DISK_FULL: &str = "No space left on device";

/// A base image's layers are fetched by the first step that needs them.
const FETCH_FAULTS: [&str; 4] =
    ["httpReadSeeker", "failed to copy: ", "content descriptor", "short read: expected"];

/// What runc says before a step's own process has begun, when the machine is the cause.
const RUNTIME_FAULTS: [&str; 4] =
    ["cgroup", "namespace", "no space left on device", "resource temporarily unavailable"];

const OVERLOAD: [&str; 2] = ["429 Too Many Requests", "toomanyrequests"];

const NETWORK_FAULTS: [&str; 9] = [
    "connection refused",
    "connection reset",
    "broken pipe",
    "i/o timeout",
    "TLS handshake timeout",
    "deadline exceeded",
    "no route to host",
    "server misbehaving",
    "EOF",
];

const REFUSALS: [&str; 5] =
    ["401 Unauthorized", "403 Forbidden", "unauthorized: ", "denied: ", "insufficient_scope"];

fn step_fault(step: &Step, exit_code: Option<u32>, message: &str, lines: Vec<String>) -> SolveError {
    let any = |faults: &[&str]| faults.iter().any(|it| message.contains(it));
    let runtime = lines.last().filter(|line| line.starts_with("runc run failed: "));
    if let Some(line) = runtime.filter(|line| RUNTIME_FAULTS.iter().any(|it| line.contains(it))) {
        return SolveError::Other { message: line.clone() };
    }
    // A step writes to the disk that BuildKit is given: the next try may find room, or another daemon.
    if exit_code.is_some() && lines.iter().any(|line| line.contains(DISK_FULL)) {
        return SolveError::Other { message: format!("the disk is full under {}", shortened(&step.name)) };
    }
    if exit_code.is_none() && any(&FETCH_FAULTS) {
        return SolveError::RegistryUnavailable { message: message.to_owned() };
    }
    if step.is_internal() || (exit_code.is_none() && any(&PLATFORM_FAULTS)) {
        return SolveError::Other { message: message.to_owned() };
    }
    let message = match exit_code {
        Some(137) => "exit code 137 (killed; it may have used too much memory)".to_owned(),
        Some(code) => format!("exit code {code}"),
        None => cause(message).to_owned(),
    };
    SolveError::StepFailed { step: shortened(&step.name), exit_code, message, lines }
}

/// A step's name holds its whole command.
fn shortened(name: &str) -> String {
    match name.char_indices().nth(STEP_NAME_MAX) {
        Some((end, _)) => format!("{}...", &name[..end]),
        None => name.to_owned(),
    }
}

fn push_fault(message: String) -> SolveError {
    if !is_transient(&message) && REFUSALS.iter().any(|it| message.contains(it)) {
        return SolveError::RegistryRefused { message };
    }
    SolveError::RegistryUnavailable { message }
}

/// The image was the user's choice: what is not transient is theirs to mend.
fn base_image_fault(image: &str, cause: &str) -> SolveError {
    if is_transient(cause) {
        return SolveError::RegistryUnavailable { message: cause.to_owned() };
    }
    // "NAME: CAUSE", and the cause of a missing one is "NAME: not found" again.
    let name = cause.split_once(": ").map_or("", |(name, _)| name);
    let mut message = cause;
    while let Some(rest) = message.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")) {
        message = rest;
    }
    SolveError::BaseImageMissing { image: image.to_owned(), message: message.to_owned() }
}

fn is_transient(message: &str) -> bool {
    let server_error = message.contains("unexpected status from ")
        && message.rsplit(": ").any(|part| part.starts_with('5') && part.as_bytes().get(3) == Some(&b' '));
    server_error || OVERLOAD.iter().chain(&NETWORK_FAULTS).any(|it| message.contains(it))
}

/// The message without what BuildKit was about when it happened.
fn cause(message: &str) -> &str {
    let message = message.rsplit_once("did not complete successfully: ").map_or(message, |(_, cause)| cause);
    let message = message.strip_prefix("failed to compute cache key: ").unwrap_or(message);
    let message = message.strip_prefix("failed to load cache key: ").unwrap_or(message);
    match message.strip_prefix("failed to calculate checksum of ref ").and_then(|rest| rest.split_once(": "))
    {
        Some((_, cause)) => cause,
        None => message,
    }
}

#[cfg(test)]
mod tests;

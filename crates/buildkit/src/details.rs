//! What BuildKit attaches to an error beside its text: the vertex, the exit code, the line of the Dockerfile.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bollard_buildkit_proto::google::rpc;
use prost::Message;
use serde::Deserialize;

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Details {
    /// Digests of the vertices that the error passed through.
    pub(crate) vertices: Vec<String>,
    pub(crate) exit_code: Option<u32>,
    pub(crate) line: Option<SourceLine>,
}

/// A line of the Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLine {
    /// From 1.
    pub number: usize,
    pub text: String,
}

#[derive(Deserialize)]
struct Vertex {
    digest: String,
}

#[derive(Deserialize)]
struct ExitMessage {
    #[serde(rename = "Code")]
    code: u32,
}

#[derive(Deserialize)]
struct Source {
    info: Info,
    ranges: Vec<Range>,
}

#[derive(Deserialize)]
struct Info {
    /// The Dockerfile in base64.
    data: String,
}

#[derive(Deserialize)]
struct Range {
    start: Position,
}

#[derive(Deserialize)]
struct Position {
    line: usize,
}

/// Reads a google.rpc.Status; what it does not know, it leaves out.
pub(crate) fn decode(bytes: &[u8]) -> Details {
    let mut details = Details::default();
    let status = rpc::Status::decode(bytes).unwrap_or_default();
    for detail in &status.details {
        let json = &detail.value;
        match detail.type_url.rsplit('/').next() {
            Some("errdefs.Vertex+json") => {
                details.vertices.extend(serde_json::from_slice(json).map(|Vertex { digest }| digest));
            }
            Some("gatewayapi.ExitMessage+json") => {
                details.exit_code = serde_json::from_slice(json).map(|ExitMessage { code }| code).ok();
            }
            Some("errdefs.Source+json") if details.line.is_none() => {
                details.line = serde_json::from_slice(json).ok().and_then(|source| source_line(&source));
            }
            _ => {}
        }
    }
    details
}

fn source_line(source: &Source) -> Option<SourceLine> {
    let number = source.ranges.first()?.start.line;
    let dockerfile = STANDARD.decode(&source.info.data).ok()?;
    let text = String::from_utf8_lossy(&dockerfile).lines().nth(number.checked_sub(1)?)?.to_owned();
    Some(SourceLine { number, text })
}

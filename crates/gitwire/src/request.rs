//! What a client asks for with a push: shallow commits, updates of refs, capabilities and push options.

use domain::commit::{Commit, is_null};

use crate::pkt_line::{self, BadPacket, Packet};

/// All that precedes the pack. A hundred updates with their options fit many times.
const PREFIX_MAX: usize = 256 * 1024;
const UPDATES_MAX: usize = 100;
const OPTIONS_MAX: usize = 100;
/// How git writes "there is no commit".
pub(crate) const ZEROS: &str = "0000000000000000000000000000000000000000";

/// One ref and where it is to go; `None` is written as zeros: the ref is made, or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    pub old: Option<Commit>,
    pub new: Option<Commit>,
    pub name: String,
}

/// The words by which a client says what it can do and wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(String);

impl Capabilities {
    pub fn has(&self, word: &str) -> bool {
        self.0.split_ascii_whitespace().any(|it| it == word)
    }

    /// What follows `key=`.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.0.split_ascii_whitespace().find_map(|it| it.strip_prefix(key)?.strip_prefix('='))
    }
}

/// A request without updates is a probe: git sends one before it streams a long pack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    pub shallow: Vec<Commit>,
    pub updates: Vec<Update>,
    pub capabilities: Capabilities,
    pub options: Vec<String>,
    /// The updates came in a signed push certificate, whose signature nobody has checked.
    pub has_certificate: bool,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    #[error(transparent)]
    Packet(#[from] BadPacket),
    #[error("the push names its refs and options in more than {} KiB: push fewer refs at once", PREFIX_MAX / 1024)]
    TooLong,
    #[error("the push updates more than {UPDATES_MAX} refs: push fewer at once")]
    TooManyUpdates,
    #[error("the push has more than {OPTIONS_MAX} push options")]
    TooManyOptions,
    #[error("{0:?} is not `OLD NEW REF`, with which git asks for an update")]
    Update(String),
    #[error("{0:?} is not `shallow COMMIT`")]
    Shallow(String),
    #[error("a packet that parts the answers of another protocol has no place in a push")]
    Separator,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Updates,
    CertificateHeader,
    CertificateBody,
    Options,
}

/// Reads one request from a stream that comes in pieces.
#[derive(Debug)]
pub struct Reader {
    buffer: Vec<u8>,
    used: usize,
    part: Part,
    request: Request,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader::new()
    }
}

impl Reader {
    pub fn new() -> Reader {
        Reader { buffer: Vec::new(), used: 0, part: Part::Updates, request: Request::default() }
    }

    /// As much as was read: of a request that is refused, this says how its client can be told why.
    pub fn so_far(&self) -> &Request {
        &self.request
    }

    /// The request, as soon as all of it has come, and the bytes behind it: the beginning of the pack.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<(Request, Vec<u8>)>, BadRequest> {
        self.buffer.extend_from_slice(bytes);
        while let Some((packet, length)) = pkt_line::decode(&self.buffer[self.used..])? {
            self.used += length;
            if self.used > PREFIX_MAX {
                return Err(BadRequest::TooLong);
            }
            let next = match packet {
                Packet::Data(data) => Some(take(&mut self.request, self.part, data)?),
                Packet::Flush => behind(&self.request, self.part),
                Packet::Delimiter | Packet::ResponseEnd => return Err(BadRequest::Separator),
            };
            let Some(next) = next else {
                let rest = self.buffer.split_off(self.used);
                return Ok(Some((std::mem::take(self).request, rest)));
            };
            self.part = next;
        }
        if self.buffer.len() > PREFIX_MAX { Err(BadRequest::TooLong) } else { Ok(None) }
    }
}

/// The part that a flush leads to; `None`: the request is whole.
fn behind(request: &Request, part: Part) -> Option<Part> {
    let more =
        part != Part::Options && !request.updates.is_empty() && request.capabilities.has("push-options");
    more.then_some(Part::Options)
}

/// Takes one packet into the request and says which part the next one belongs to.
fn take(request: &mut Request, part: Part, data: &[u8]) -> Result<Part, BadRequest> {
    let line = data.strip_suffix(b"\n").unwrap_or(data);
    match part {
        Part::Updates => return take_line(request, line),
        Part::CertificateHeader if line.is_empty() => return Ok(Part::CertificateBody),
        Part::CertificateHeader | Part::CertificateBody if line == b"push-cert-end" => {
            return Ok(Part::Updates);
        }
        Part::CertificateHeader => {}
        // The signature follows the updates; it is not looked at, for certificates are refused.
        Part::CertificateBody => {
            if let Ok(update) = update(line) {
                push_update(request, update)?;
            }
        }
        Part::Options if request.options.len() == OPTIONS_MAX => return Err(BadRequest::TooManyOptions),
        Part::Options => request.options.push(text(line)),
    }
    Ok(part)
}

fn take_line(request: &mut Request, line: &[u8]) -> Result<Part, BadRequest> {
    if let Some(commit) = line.strip_prefix(b"shallow ") {
        let commit = Commit::parse(&text(commit)).map_err(|_| BadRequest::Shallow(excerpt(line)))?;
        request.shallow.push(commit);
        return Ok(Part::Updates);
    }
    let mut halves = line.splitn(2, |byte| *byte == 0);
    let command = halves.next().unwrap_or_default();
    if let Some(capabilities) = halves.next() {
        let known = &mut request.capabilities.0;
        known.push(' ');
        known.push_str(&text(capabilities));
    }
    if command == b"push-cert" {
        request.has_certificate = true;
        return Ok(Part::CertificateHeader);
    }
    push_update(request, update(command)?)?;
    Ok(Part::Updates)
}

fn push_update(request: &mut Request, update: Update) -> Result<(), BadRequest> {
    if request.updates.len() == UPDATES_MAX {
        return Err(BadRequest::TooManyUpdates);
    }
    request.updates.push(update);
    Ok(())
}

fn update(line: &[u8]) -> Result<Update, BadRequest> {
    let bad = || BadRequest::Update(excerpt(line));
    let line = text(line);
    let mut words = line.splitn(3, ' ');
    let (Some(old), Some(new), Some(name)) = (words.next(), words.next(), words.next()) else {
        return Err(bad());
    };
    let commit = |id: &str| match id.len() {
        40 | 64 if is_null(id) => Ok(None),
        _ => Commit::parse(id).map(Some).map_err(|_| bad()),
    };
    Ok(Update { old: commit(old)?, new: commit(new)?, name: name.to_owned() })
}

/// What is not UTF-8 becomes a character that no rule allows, so nothing passes because of it.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn excerpt(line: &[u8]) -> String {
    text(line).chars().take(120).collect()
}

/// The same request as [`Reader`] reads it, without push options: what a `git receive-pack` child is to do.
pub fn encode_commands(shallow: &[Commit], updates: &[Update], capabilities: &str) -> Vec<u8> {
    let mut into = Vec::new();
    for commit in shallow {
        pkt_line::encode(format!("shallow {commit}\n").as_bytes(), &mut into);
    }
    for (n, update) in updates.iter().enumerate() {
        let id = |commit: &Option<Commit>| commit.as_ref().map_or(ZEROS, Commit::as_str).to_owned();
        let mut line = format!("{} {} {}", id(&update.old), id(&update.new), update.name);
        if n == 0 {
            line.push_str("\0 ");
            line.push_str(capabilities);
        }
        pkt_line::encode(line.as_bytes(), &mut into);
    }
    into.extend_from_slice(pkt_line::FLUSH);
    into
}

#[cfg(test)]
mod tests;

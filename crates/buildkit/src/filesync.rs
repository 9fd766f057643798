//! Sends a source's entries to BuildKit, then the content of the files it asks for: fsutil's protocol.

use std::pin::Pin;
use std::sync::Arc;

use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use bollard_buildkit_proto::fsutil::types::{Packet, Stat};
use bollard_buildkit_proto::moby::filesync::packet::file_sync_server::FileSync;
use futures::stream::{self, Stream, StreamExt};
use llb::graph::CONTENT_MARK;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::{Request, Response, Status, Streaming};

use crate::session::Serving;
use crate::source::{EntryKind, Source, SourceEntry, order};

/// File modes as Go writes them.
const GO_DIRECTORY: u32 = 1 << 31;
const GO_SYMLINK: u32 = 1 << 27;

const PIECE_MAX: usize = 1 << 20;
/// How many files are read ahead of the one that is being sent.
const READ_AHEAD: usize = 4;

type Packets = Pin<Box<dyn Stream<Item = Result<Packet, Status>> + Send>>;
type Requests = Packets;

/// The request's header that says which of the sources is meant.
const NAME: &str = "dir-name";

pub(crate) struct Files {
    serving: Serving,
}

impl Files {
    pub(crate) const fn new(serving: Serving) -> Files {
        Files { serving }
    }

    fn named(&self, metadata: &MetadataMap) -> Result<Arc<dyn Source>, Status> {
        let name = metadata.get(NAME).and_then(|it| it.to_str().ok()).unwrap_or_default();
        let source = self.serving.get()?.sources.get(name).cloned();
        source.ok_or_else(|| Status::not_found(format!("this build has no files named {name:?}")))
    }
}

#[tonic::async_trait]
impl FileSync for Files {
    type DiffCopyStream = Packets;
    type TarStreamStream = Packets;

    async fn diff_copy(&self, request: Request<Streaming<Packet>>) -> Result<Response<Packets>, Status> {
        warn_of_filters(request.metadata());
        let source = self.named(request.metadata())?;
        debug_assert!(
            source.entries().is_sorted_by(|a, b| order(&a.path, &b.path).is_lt()),
            "BuildKit refuses entries out of order"
        );
        let answers = answers(source.clone(), request.into_inner().boxed());
        Ok(Response::new(stream::select(entries(source), answers).map(Ok).boxed()))
    }

    async fn tar_stream(&self, _: Request<Streaming<Packet>>) -> Result<Response<Packets>, Status> {
        Err(Status::unimplemented("files are served by DiffCopy only"))
    }
}

/// The source has left out what the build may not see; BuildKit asks for everything and would not filter again.
fn warn_of_filters(metadata: &MetadataMap) {
    for key in ["include-patterns", "exclude-patterns", "followpaths"] {
        // What our own graphs say of the content is no pattern.
        let is_ours = |it: &&MetadataValue<Ascii>| it.as_bytes().starts_with(CONTENT_MARK.as_bytes());
        for patterns in metadata.get_all(key).iter().filter(|it| !is_ours(it)) {
            tracing::warn!(key, ?patterns, "BuildKit asked for a part of the source and gets the whole");
        }
    }
}

/// Every entry, then an empty packet. A file's id is its place among all entries.
fn entries(source: Arc<dyn Source>) -> impl Stream<Item = Packet> {
    let count = source.entries().len();
    let stats = (0..count)
        .map(move |index| packet(PacketType::PacketStat, 0, Some(stat(&source.entries()[index])), vec![]));
    stream::iter(stats.chain([packet(PacketType::PacketStat, 0, None, vec![])]))
}

/// The contents that BuildKit asks for, until it says that it has all.
fn answers(source: Arc<dyn Source>, requests: Requests) -> impl Stream<Item = Packet> + Send {
    stream::unfold(Some(requests), next_request)
        .map(move |request| answer(source.clone(), request))
        .buffered(READ_AHEAD)
        .flat_map(stream::iter)
}

async fn next_request(requests: Option<Requests>) -> Option<(Packet, Option<Requests>)> {
    let mut requests = requests?;
    match requests.next().await? {
        Ok(last) if last.r#type() == PacketType::PacketFin => Some((last, None)),
        Ok(request) => Some((request, Some(requests))),
        Err(status) => {
            tracing::debug!(%status, "BuildKit ended the transfer of files");
            None
        }
    }
}

async fn answer(source: Arc<dyn Source>, request: Packet) -> Vec<Packet> {
    match request.r#type() {
        PacketType::PacketReq => contents(source, request.id).await,
        PacketType::PacketFin => vec![packet(PacketType::PacketFin, 0, None, vec![])],
        PacketType::PacketErr => {
            tracing::warn!(error = %String::from_utf8_lossy(&request.data), "BuildKit refused the files");
            vec![]
        }
        PacketType::PacketStat | PacketType::PacketData => vec![],
    }
}

/// The file's content in pieces, ended by an empty one; or why it could not be read.
async fn contents(source: Arc<dyn Source>, id: u32) -> Vec<Packet> {
    let index = id as usize;
    let read = tokio::task::spawn_blocking(move || {
        let Some(entry) = source.entries().get(index) else {
            anyhow::bail!("there is no entry {index}");
        };
        source.open(index).map_err(|error| error.context(format!("cannot read {}", entry.path)))
    });
    let content = match read.await.map_err(anyhow::Error::from).flatten() {
        Ok(content) => content,
        Err(error) => return vec![packet(PacketType::PacketErr, 0, None, format!("{error:#}").into_bytes())],
    };
    let pieces = content.chunks(PIECE_MAX).map(<[u8]>::to_vec).chain([vec![]]);
    pieces.map(|piece| packet(PacketType::PacketData, id, None, piece)).collect()
}

fn packet(kind: PacketType, id: u32, stat: Option<Stat>, data: Vec<u8>) -> Packet {
    Packet { r#type: kind.into(), stat, id, data }
}

/// Everything belongs to root and has one of four modes, as in a fresh checkout: the content keys of the build
/// cache count these too.
fn stat(entry: &SourceEntry) -> Stat {
    let (mode, size) = match entry.kind {
        EntryKind::Directory => (GO_DIRECTORY | 0o755, 0),
        EntryKind::File => (0o644, entry.size),
        EntryKind::Executable => (0o755, entry.size),
        EntryKind::Symlink => (GO_SYMLINK | 0o777, entry.linkname.len() as u64),
    };
    Stat {
        path: entry.path.clone(),
        mode,
        size: i64::try_from(size).unwrap_or(i64::MAX),
        mod_time: entry.mtime_ns,
        linkname: entry.linkname.clone(),
        ..Stat::default()
    }
}

#[cfg(test)]
mod tests;

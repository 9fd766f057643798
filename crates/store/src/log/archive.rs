//! Finished logs as objects: in S3, Google Cloud Storage, Azure or a folder. One object for each build: its chunks one
//! after the other, then an index of them, so that a stretch of lines is one request for the index and one for a range.
//!
//! Chunks are zstd frames and the index is in a frame that decompressors skip: `zstd -dc OBJECT` prints the log.

use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use jiff_sqlx::Date;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::buffered::BufWriter;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, ObjectStoreScheme};
use sqlx::{FromRow, PgPool};
use tokio::io::AsyncWriteExt as _;
use url::Url;
use uuid::Uuid;

use super::lines::{Entry, Stored};
use super::read::frames;

/// Begins a frame that is skipped; its size follows.
const SKIPPED: [u8; 4] = 0x184D_2A50_u32.to_le_bytes();
const SKIPPED_HEAD: usize = 8;
/// Text that is on its way to the object at a time.
const MOVE_BYTES: i64 = 1 << 20;
/// An index of a log of this many chunks is refused: it is none of ours.
const INDEX_MAX: usize = 256 << 20;

/// Where finished logs go.
#[derive(Clone, Debug)]
pub struct Archive {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

/// `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX` or `file:///FOLDER`. Credentials, regions and
/// endpoints come from each cloud's usual environment variables.
#[expect(clippy::wildcard_enum_match_arm, reason = "logs are kept in no other kind of store")]
pub fn open(url: &Url) -> Result<Archive> {
    let said = || {
        format!("SLIPWAY_LOG_STORE is {url}: give s3://BUCKET, gs://BUCKET, az://CONTAINER or file:///FOLDER")
    };
    let (scheme, prefix) = ObjectStoreScheme::parse(url).with_context(said)?;
    let store: Arc<dyn ObjectStore> = match scheme {
        ObjectStoreScheme::Local => Arc::new(LocalFileSystem::new()),
        ObjectStoreScheme::AmazonS3 => Arc::new(AmazonS3Builder::from_env().with_url(url.as_str()).build()?),
        ObjectStoreScheme::GoogleCloudStorage => {
            Arc::new(GoogleCloudStorageBuilder::from_env().with_url(url.as_str()).build()?)
        }
        ObjectStoreScheme::MicrosoftAzure => {
            Arc::new(MicrosoftAzureBuilder::from_env().with_url(url.as_str()).build()?)
        }
        _ => bail!(said()),
    };
    Ok(Archive { store, prefix })
}

/// The columns that say where an object is.
#[derive(Debug, FromRow)]
pub(super) struct Place {
    object: Option<String>,
    object_bytes: Option<i64>,
    index_bytes: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Object {
    key: String,
    bytes: u64,
    index_bytes: u64,
}

impl Place {
    pub(super) fn known(self) -> Option<Object> {
        Some(Object {
            key: self.object?,
            bytes: u64::try_from(self.object_bytes?).ok()?,
            index_bytes: u64::try_from(self.index_bytes?).ok()?,
        })
    }
}

/// A chunk in an object.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Indexed {
    #[serde(flatten)]
    entry: Entry,
    frame_bytes: u64,
}

/// About `bytes` of text from the chunk on that holds line `from`.
pub(super) async fn read(archive: &Archive, object: &Object, from: i64, bytes: i64) -> Result<Vec<Stored>> {
    let path = path(archive, &object.key)?;
    let said = || format!("reading the log {path}");
    let range = object.bytes.saturating_sub(object.index_bytes)..object.bytes;
    let index = archive.store.get_range(&path, range).await.with_context(said)?;
    let index = parse_index(&index).with_context(said)?;
    let (range, wanted) = select(&index, from, bytes);
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let mut frames = archive.store.get_range(&path, range).await.with_context(said)?;
    wanted
        .iter()
        .map(|it| {
            let size = usize::try_from(it.frame_bytes)?;
            ensure!(size <= frames.len(), "the log {path} is shorter than its index says");
            Stored::unpack(it.entry, &frames.split_to(size))
        })
        .collect()
}

/// Where in the object the wanted chunks are.
fn select(index: &[Indexed], from: i64, bytes: i64) -> (Range<u64>, &[Indexed]) {
    let first = index.partition_point(|it| it.entry.next_line() <= from);
    let start: u64 = index[..first].iter().map(|it| it.frame_bytes).sum();
    let (mut end, mut text, mut count) = (start, 0, 0);
    for it in &index[first..] {
        if text >= bytes && count > 0 {
            break;
        }
        text += i64::from(it.entry.byte_count);
        end += it.frame_bytes;
        count += 1;
    }
    (start..end, &index[first..first + count])
}

fn index_frame(index: &[Indexed]) -> Result<Vec<u8>> {
    let packed = zstd::bulk::compress(&serde_json::to_vec(index)?, 0)?;
    let mut frame = SKIPPED.to_vec();
    frame.extend(u32::try_from(packed.len())?.to_le_bytes());
    frame.extend(packed);
    Ok(frame)
}

fn parse_index(frame: &[u8]) -> Result<Vec<Indexed>> {
    let packed =
        frame.get(SKIPPED_HEAD..).filter(|_| frame.starts_with(&SKIPPED)).context("it has no index")?;
    let json = zstd::stream::decode_all(packed)?;
    ensure!(json.len() <= INDEX_MAX, "its index is too long");
    Ok(serde_json::from_slice(&json)?)
}

/// Copies the log of a build that has ended, and notes where it is. Doing it twice, or in two processes, does no harm:
/// the object is the same. Its chunks stay until their day is dropped.
pub(super) async fn put(db: &PgPool, archive: &Archive, build_id: Uuid, day: Date) -> Result<()> {
    let key = format!("{}/{build_id}.zst", day.to_jiff());
    let mut writer = BufWriter::new(archive.store.clone(), path(archive, &key)?);
    let copied = copy(db, build_id, day, &mut writer).await;
    let Ok((object_bytes, index_bytes, line_count)) = copied else {
        // What was begun is not to be paid for; the fault itself is what is told.
        let _ = writer.abort().await;
        return copied.map(drop);
    };
    sqlx::query(
        "update build_log set object = $2, object_bytes = $3, index_bytes = $4
         where build_id = $1 and object is null and expired_at is null and line_count = $5",
    )
    .bind(build_id)
    .bind(key)
    .bind(object_bytes)
    .bind(index_bytes)
    .bind(line_count)
    .execute(db)
    .await?;
    Ok(())
}

/// Gives the sizes of the object and of its index, and the number of lines.
async fn copy(db: &PgPool, build_id: Uuid, day: Date, writer: &mut BufWriter) -> Result<(i64, i64, i64)> {
    let (mut index, mut object_bytes, mut next_line) = (Vec::new(), 0, 0);
    loop {
        let frames = frames(db, day, build_id, next_line, MOVE_BYTES).await?;
        // The chunk that holds the line before the end is answered again at the end.
        let mut fresh = frames.into_iter().filter(|it| it.entry.first_line >= next_line).peekable();
        if fresh.peek().is_none() {
            break;
        }
        for frame in fresh.collect::<Vec<_>>() {
            let entry = frame.entry;
            let body = frame.compressed()?;
            next_line = entry.next_line();
            index.push(Indexed { entry, frame_bytes: body.len() as u64 });
            object_bytes += i64::try_from(body.len())?;
            writer.put(Bytes::from(body)).await?;
        }
    }
    let frame = index_frame(&index)?;
    let index_bytes = i64::try_from(frame.len())?;
    writer.put(Bytes::from(frame)).await?;
    writer.shutdown().await?;
    Ok((object_bytes + index_bytes, index_bytes, next_line))
}

/// One that is gone already is as good as deleted.
pub(super) async fn delete(archive: &Archive, key: &str) -> Result<()> {
    match archive.store.delete(&path(archive, key)?).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("deleting the log {key}")),
    }
}

fn path(archive: &Archive, key: &str) -> Result<Path> {
    let full = format!("{}/{key}", archive.prefix);
    Path::parse(full.trim_start_matches('/')).with_context(|| format!("the log {key} has no path"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Time;

    fn index(chunks: &[(i32, i32, u64)]) -> Vec<Indexed> {
        let mut first_line = 0;
        let one = |&(line_count, byte_count, frame_bytes): &(i32, i32, u64)| {
            let at = Time(jiff::Timestamp::UNIX_EPOCH);
            let entry = Entry { first_line, line_count, step: 1, continues: false, at, byte_count };
            first_line = entry.next_line();
            Indexed { entry, frame_bytes }
        };
        chunks.iter().map(one).collect()
    }

    #[test]
    fn an_index_is_skipped_and_read_back() {
        let index = index(&[(10, 1000, 80), (1, 5, 14)]);
        let frame = index_frame(&index).unwrap();
        assert_eq!(parse_index(&frame).unwrap(), index);
        assert_eq!(zstd::stream::decode_all(&frame[..]).unwrap(), b"", "decompressors do not see it");
        assert!(parse_index(&frame[4..]).is_err());
    }

    #[test]
    fn a_stretch_is_one_range() {
        let index = index(&[(10, 100, 7), (10, 100, 8), (10, 100, 9)]);
        let ranges = [(0, 1), (9, 100), (10, 101), (25, 1), (30, 1)].map(|(from, bytes)| {
            let (range, wanted) = select(&index, from, bytes);
            (range, wanted.len())
        });
        assert_eq!(ranges, [(0..7, 1), (0..7, 1), (7..24, 2), (15..24, 1), (24..24, 0)]);
    }

    #[test]
    fn a_store_is_named_by_a_url() {
        let open = |url: &str| open(&Url::parse(url).unwrap());
        assert_eq!(open("file:///var/logs").unwrap().prefix.as_ref(), "var/logs");
        assert!(open("ftp://example.com/logs").unwrap_err().to_string().contains("SLIPWAY_LOG_STORE"));
    }
}

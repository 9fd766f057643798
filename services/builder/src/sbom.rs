//! Says what is in images, one after the other, when nobody waits for anything else: their layers are read from the
//! registry as a stream. What is begun and not ended, whoever died of it, is begun again by another builder.

mod known;
mod pace;
mod pipe;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use futures::{Stream, StreamExt as _};
use host::metrics::builds::Builds;
use host::metrics::sboms::Sboms;
use jiff::Timestamp;
use registry::{Attachment, Registry};
use sbom::{Found, Subject};
use sqlx::PgPool;
use store::sbom::Wanted;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::Builder;
use known::Known;
use pace::{Pace, SETTLE};
use pipe::Pipe;

/// How often it is asked for images of other builders, and for those that could not be read before.
const ASK_EVERY: Duration = Duration::from_secs(30);
/// Nothing is read beside builds until an image is so old: where they never end, no image waits for ever.
const PATIENCE: Duration = Duration::from_secs(60);
/// All of one image, before it is anybody else's.
const IMAGE_MAX: Duration = Duration::from_secs(10 * 60);
const _: () = assert!(IMAGE_MAX.as_secs() < store::sbom::TRY_MAX.as_secs());
/// Of an SBOM, also of the manifest that holds it in the registry.
pub(crate) const MEDIA_TYPE: &str = "application/spdx+json";
/// Of a layer, between the registry and who reads it.
const CHUNKS: usize = 4;

/// What it is done with.
#[derive(Clone, Copy)]
struct Work<'a> {
    db: &'a PgPool,
    registry: &'a Registry,
    builds: &'a Builds,
    numbers: &'a Sboms,
}

/// Works until shutdown.
pub(crate) async fn describe(
    builder: Arc<Builder>,
    numbers: Sboms,
    shutdown: CancellationToken,
) -> Result<()> {
    let work = Work {
        db: &builder.db,
        registry: builder.images.registry(),
        builds: &builder.numbers,
        numbers: &numbers,
    };
    let mut known = Known::default();
    loop {
        let waiting = async {
            // A ring that is missed is a poll later.
            let _ = tokio::time::timeout(ASK_EVERY, builder.built.notified()).await;
            tokio::time::sleep(SETTLE).await;
        };
        if shutdown.run_until_cancelled(waiting).await.is_none() {
            return Ok(());
        }
        while !shutdown.is_cancelled() {
            match next(work, &mut known, &shutdown).await {
                Ok(Some(rest)) => {
                    let resting = async {
                        if tokio::time::timeout(rest, builder.built.notified()).await.is_ok() {
                            tokio::time::sleep(SETTLE).await;
                        }
                    };
                    let _ = shutdown.run_until_cancelled(resting).await;
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!("looking for images without an SBOM: {error:#}");
                    break;
                }
            }
        }
    }
}

/// Reads one image, and says how long to rest then: as long again as that took, for after an upgrade there may be many,
/// and none of them is urgent; longer when it could not be read, as then perhaps none can. `None`: none wants anything just
/// now.
async fn next(work: Work<'_>, known: &mut Known, shutdown: &CancellationToken) -> Result<Option<Duration>> {
    let Some(wanted) = store::sbom::begin(work.db).await? else { return Ok(None) };
    let age = Duration::try_from(Timestamp::now().duration_since(wanted.created_at.0)).unwrap_or_default();
    let mut pace = Pace::new(work.builds, PATIENCE.saturating_sub(age));
    let started = Instant::now();
    let making = async {
        pace.give_way().await;
        let text = document(work, known, &wanted, &mut pace).await?;
        if let Err(error) = attach(work, &wanted, text.clone()).await {
            // It can be read from Slipway all the same.
            tracing::info!(digest = %wanted.digest, "attaching an SBOM to its image: {error:#}");
        }
        store::sbom::finish(work.db, &wanted, &text).await
    };
    let Some(made) = shutdown.run_until_cancelled(tokio::time::timeout(IMAGE_MAX, making)).await else {
        store::sbom::hand_back(work.db, &wanted).await?;
        return Ok(None);
    };
    let too_long = |_| Err(anyhow!("it took more than {} minutes", IMAGE_MAX.as_secs() / 60));
    let worked = started.elapsed().saturating_sub(pace.waited());
    Ok(Some(match made.unwrap_or_else(too_long) {
        Ok(_) => {
            work.numbers.made(worked);
            worked
        }
        Err(error) => {
            work.numbers.failed();
            let (digest, attempt) = (&wanted.digest, wanted.attempt);
            tracing::info!(%digest, attempt, "reading what is in an image: {error:#}");
            store::sbom::fail(work.db, &wanted, &format!("{error:#}")).await?;
            worked.max(ASK_EVERY)
        }
    }))
}

async fn document(work: Work<'_>, known: &mut Known, wanted: &Wanted, pace: &mut Pace<'_>) -> Result<String> {
    let image = format!("{}@{}", wanted.repository, wanted.digest);
    let layers = registry::layers(work.registry, &image).await?;
    let digests: Vec<String> = layers.into_iter().map(|layer| layer.digest).collect();
    let (mut count, mut found) = known.of(&digests);
    while let Some(digest) = digests.get(count) {
        pace.give_way().await;
        let stream = registry::read(work.registry, &image, digest).await?;
        found = read(stream, found, pace).await.with_context(|| format!("its layer {digest}"))?;
        work.numbers.read_layer();
        count += 1;
        known.keep(&digests[..count], &found);
    }
    let created = wanted.created_at.0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let (repository, digest) = (wanted.repository.clone(), wanted.digest.clone());
    let writing = move || {
        let subject = Subject { repository: &repository, digest: &digest, created: &created };
        serde_json::to_string(&sbom::document(&found, &subject))
    };
    Ok(tokio::task::spawn_blocking(writing).await.context("writing the document")??)
}

/// Puts the document beside the image in the registry. The image's rows are held meanwhile, so that it is not removed
/// before what is attached to it is there to be removed too.
async fn attach(work: Work<'_>, wanted: &Wanted, text: String) -> Result<()> {
    let image = format!("{}@{}", wanted.repository, wanted.digest);
    let mut tx = work.db.begin().await?;
    let is_there = store::garbage::hold(&mut tx, &wanted.repository, &wanted.digest).await?
        || registry::exists(work.registry, &image).await?;
    if is_there {
        let created = wanted.created_at.0.to_string();
        let attachment = Attachment { media_type: MEDIA_TYPE, content: text.into(), created: &created };
        registry::attach(work.registry, &image, attachment).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// What is found once this layer lies over those below. It is never in memory as a whole.
async fn read<C: AsRef<[u8]> + Send + 'static>(
    mut stream: impl Stream<Item = io::Result<C>> + Unpin,
    below: Found,
    pace: &mut Pace<'_>,
) -> Result<Found> {
    let (sender, receiver) = mpsc::channel(CHUNKS);
    let reading = tokio::task::spawn_blocking(move || sbom::apply(below, Pipe::new(receiver)));
    let sending = async move {
        while let Some(chunk) = stream.next().await {
            pace.give_way().await;
            let is_last = chunk.is_err();
            if sender.send(chunk).await.is_err() || is_last {
                break;
            }
        }
    };
    let (found, ()) = tokio::join!(reading, sending);
    Ok(found.context("reading it ended in a fault of Slipway's own")??)
}

#[cfg(test)]
mod tests;

//! Asking every forge now and then. None can be relied on to deliver: they never deliver again, and some drop a
//! delivery without a word.

use std::time::Duration;

use anyhow::Result;
use domain::forge_kind::ForgeKind;
use domain::job::JobKind;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

/// Gogs loses deliveries more often than others (it delivers one at a time and forgets the rest on a restart).
const GOGS_SECONDS_MAX: u32 = 60;
/// Between two looks at what is due, in milliseconds; the spread keeps several receivers from asking in step.
const PAUSE_MS: std::ops::Range<u64> = 3_000..9_000;

/// Until `shutdown`, queues the question what a branch is now for each that was not resolved for `seconds`.
pub(crate) async fn run(db: PgPool, seconds: u32, shutdown: CancellationToken) -> Result<()> {
    loop {
        match poll(&db, seconds).await {
            Ok(0) => {}
            Ok(due) => tracing::debug!("queued {due} branches to resolve"),
            Err(error) => tracing::warn!("polling the forges: {error:#}"),
        }
        let pause = Duration::from_millis(rand::random_range(PAUSE_MS));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => return Ok(()),
        }
    }
}

pub(crate) async fn poll(db: &PgPool, seconds: u32) -> Result<usize> {
    store::branch::touch_default_branches(db).await?;
    let usual = [ForgeKind::Gitea.as_str(), ForgeKind::Github.as_str()];
    let mut due = store::branch::due(db, &usual, seconds.into()).await?;
    let gogs_seconds = seconds.min(GOGS_SECONDS_MAX);
    due.extend(store::branch::due(db, &[ForgeKind::Gogs.as_str()], gogs_seconds.into()).await?);
    for branch in &due {
        let mut tx = db.begin().await?;
        store::branch::enqueue_resolve(&mut tx, *branch).await?;
        tx.commit().await?;
    }
    if !due.is_empty() {
        store::worker::wake(db, &[JobKind::Resolve]).await;
    }
    Ok(due.len())
}

//! How much the repositories hold, for the page of numbers about garbage. Nothing of them is garbage.

use anyhow::Result;
use domain::garbage::GarbageKind;
use store::garbage::{self, Counts, Sweep};
use uuid::Uuid;

use super::Git;

const EVERY_SECONDS: u32 = 60 * 60;
const RULE: &str = "Kept: all, also those of applications that are gone: they are the only copy.";

/// Does nothing if they were measured within the hour.
pub(crate) async fn measure(git: &Git) {
    if let Err(error) = look(git).await {
        tracing::warn!("measuring the repositories: {error:#}");
    }
}

async fn look(git: &Git) -> Result<()> {
    let Some(turn) = garbage::take_turn(&git.db, GarbageKind::Repositories, "", EVERY_SECONDS).await? else {
        return Ok(());
    };
    // Nobody else can look: this process holds the lock of the repositories.
    turn.rollback().await?;
    let (mut kept, mut fault) = (Counts::default(), None);
    for app in git.repositories.all()? {
        kept.count += 1;
        match size_bytes(git, app).await {
            Ok(bytes) => kept.bytes += i64::try_from(bytes).unwrap_or(i64::MAX),
            Err(error) => {
                fault.get_or_insert(format!("measuring the repository of {app}: {error:#}"));
            }
        }
    }
    let nothing = Counts::default();
    let sweep = Sweep {
        kind: GarbageKind::Repositories,
        holder: "",
        rule: RULE,
        kept,
        left: nothing,
        removed: nothing,
        fault: fault.as_deref(),
    };
    garbage::tell(&git.db, &sweep).await
}

async fn size_bytes(git: &Git, app: Uuid) -> Result<u64> {
    let repository = git.repositories.repository(app);
    Ok(tokio::task::spawn_blocking(move || repository.size_bytes()).await??)
}

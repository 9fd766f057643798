//! Looks for garbage once an hour: images in the registry, this builder's mirrors, and how much each BuildKit keeps.

mod images;
mod mirrors;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use domain::garbage::{GarbageKind, Policy};
use store::garbage::{self, Counts, Sweep};
use tokio_util::sync::CancellationToken;

use crate::Builder;

pub use images::{Swept, sweep_images};

/// How often it is asked whether it is time.
const ASK_EVERY: Duration = Duration::from_secs(60);
const SWEEP_EVERY_SECONDS: u32 = 60 * 60;
const CACHE_RULE: &str = "Kept: what fits into the limits of BuildKit's own settings (gcpolicy in buildkitd.toml); BuildKit \
                          drops the rest itself and says nothing of it here.";

#[derive(Debug, Clone, Copy, clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    /// The images of so many newest releases of each environment are kept
    #[arg(long, env = "SLIPWAY_KEEP_RELEASES", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    keep_releases: u32,
    /// Images are kept for so many days, whatever became of their releases
    #[arg(long, env = "SLIPWAY_KEEP_IMAGE_DAYS", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    keep_image_days: u32,
    /// The mirrors of applications of which nothing was built for so many days are removed
    #[arg(long, env = "SLIPWAY_KEEP_MIRROR_DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    keep_mirror_days: u32,
}

pub(crate) const fn policy(args: Args) -> Policy {
    Policy {
        releases: args.keep_releases,
        image_days: args.keep_image_days,
        mirror_days: args.keep_mirror_days,
    }
}

/// Works until shutdown. Every builder does it; of what there is once, one of them at a time.
pub(crate) async fn collect(
    builder: Arc<Builder>,
    policy: Policy,
    owner: String,
    shutdown: CancellationToken,
) -> Result<()> {
    while shutdown.run_until_cancelled(tokio::time::sleep(ASK_EVERY)).await.is_some() {
        let sweeping = async {
            let ended = [
                ("images", images(&builder, &policy).await),
                ("mirrors", mirrors(&builder, &policy, &owner).await),
                ("caches", caches(&builder).await),
            ];
            for (what, ended) in ended {
                if let Err(error) = ended {
                    tracing::warn!("looking for garbage among the {what}: {error:#}");
                }
            }
        };
        if shutdown.run_until_cancelled(sweeping).await.is_none() {
            break;
        }
    }
    Ok(())
}

async fn images(builder: &Builder, policy: &Policy) -> Result<()> {
    let db = &builder.db;
    let Some(_turn) = garbage::take_turn(db, GarbageKind::Images, "", SWEEP_EVERY_SECONDS).await? else {
        return Ok(());
    };
    let swept = sweep_images(db, builder.images.registry(), policy, None).await?;
    garbage::tell(
        db,
        &Sweep {
            kind: GarbageKind::Images,
            holder: "",
            rule: &domain::garbage::image_rule(policy),
            kept: swept.kept,
            left: swept.left,
            removed: swept.removed,
            fault: swept.fault.as_deref(),
        },
    )
    .await
}

async fn mirrors(builder: &Builder, policy: &Policy, owner: &str) -> Result<()> {
    let db = &builder.db;
    let Some(_turn) = garbage::take_turn(db, GarbageKind::Mirrors, owner, SWEEP_EVERY_SECONDS).await? else {
        return Ok(());
    };
    let apps = store::app::list(db).await?.into_iter().map(|app| app.id).collect();
    let swept = mirrors::sweep(&builder.mirrors, apps, *policy).await?;
    garbage::tell(
        db,
        &Sweep {
            kind: GarbageKind::Mirrors,
            holder: owner,
            rule: &domain::garbage::mirror_rule(policy),
            kept: swept.kept,
            left: swept.left,
            removed: swept.removed,
            fault: swept.fault.as_deref(),
        },
    )
    .await
}

async fn caches(builder: &Builder) -> Result<()> {
    for (daemon, channel) in builder.pool.channels() {
        let turn = garbage::take_turn(&builder.db, GarbageKind::Caches, daemon, SWEEP_EVERY_SECONDS).await?;
        if turn.is_none() {
            continue;
        }
        let (kept, fault) = match buildkit::usage::of(channel).await {
            Ok(usage) => (Counts { count: usage.records, bytes: usage.bytes }, None),
            Err(error) => (Counts::default(), Some(error.to_string())),
        };
        let nothing = Counts::default();
        let sweep = Sweep {
            kind: GarbageKind::Caches,
            holder: daemon,
            rule: CACHE_RULE,
            kept,
            left: nothing,
            removed: nothing,
            fault: fault.as_deref(),
        };
        garbage::tell(&builder.db, &sweep).await?;
    }
    Ok(())
}

//! Catching a build at a moment: what is held before it is pushed, and what is waited for then.

use std::time::Duration;

use anyhow::{Context as _, Result};
use sqlx::PgPool;
use uuid::Uuid;

use super::cell::{Cell, Fault, Moment};
use super::http::{self, Answer, Asked};
use super::parts;
use super::valve::{self, Flow};
use super::world::World;
use crate::wait;

/// A build comes that far within this time.
const PATIENCE: Duration = Duration::from_secs(40);
/// Of the source's bytes that make a moment: it has more.
const SOURCE_PART: i64 = 400 << 10;

pub fn arm(world: &World, cell: &Cell) {
    match (cell.moment, cell.fault) {
        (Moment::Claimed, _) => valve::hold_after(&world.to_source, 0),
        (Moment::SourceSent, _) => valve::hold_after(&world.to_daemon, SOURCE_PART),
        (Moment::BlobPushing, _) => http::rule(&world.proxy, Asked::BlobData, Answer::Held, 1),
        (Moment::ManifestPushed, _) => http::rule(&world.proxy, Asked::ManifestPut, Answer::HeldDone, 1),
        (Moment::Confirming, _) => http::rule(&world.proxy, Asked::Manifest, Answer::Held, 1),
        (Moment::Asks(asked), Fault::Registry(answer, times)) => {
            http::rule(&world.proxy, asked, answer, times);
        }
        (Moment::Asks(asked), Fault::RegistryRefuses(answer)) => {
            http::rule(&world.proxy, asked, answer, u32::MAX);
        }
        (Moment::Asks(asked), _) => http::rule(&world.proxy, asked, Answer::Held, 1),
        (Moment::Solving | Moment::Exporting | Moment::Before, _) => {}
    }
}

pub async fn reached(world: &World, db: &PgPool, cell: &Cell, app: &str, build: Uuid) -> Result<()> {
    let moment = async {
        match cell.moment {
            Moment::Claimed => valve::holds(&world.to_source).await,
            Moment::SourceSent => valve::holds(&world.to_daemon).await,
            Moment::BlobPushing | Moment::ManifestPushed | Moment::Confirming | Moment::Asks(_) => {
                http::hit(&world.proxy).await;
            }
            Moment::Solving => runs(app).await?,
            Moment::Exporting => exports(db, build).await?,
            Moment::Before => {}
        }
        anyhow::Ok(())
    };
    let reached = tokio::time::timeout(PATIENCE, moment).await;
    reached.with_context(|| format!("the build did not come to the moment {:?}", cell.moment.words()))?
}

/// What was held for the moment goes on.
pub fn release(world: &World) {
    http::clear(&world.proxy);
    for valve in [&world.to_daemon, &world.to_database, &world.to_source] {
        valve::set(valve, Flow::Open);
    }
}

async fn runs(app: &str) -> Result<()> {
    wait::until("a step that runs", PATIENCE, || async {
        Ok(if parts::steps(app).is_empty() { Err("none") } else { Ok(()) })
    })
    .await
}

async fn exports(db: &PgPool, build: Uuid) -> Result<()> {
    wait::until("the export", PATIENCE, || async {
        let begun: bool = sqlx::query_scalar(
            "select exists (select from step where build_id = $1 and name like 'exporting to image%')",
        )
        .bind(build)
        .fetch_one(db)
        .await?;
        Ok(if begun { Ok(()) } else { Err("no such step") })
    })
    .await
}

//! Images and caches that nothing needs leave the registry, one digest at a time; what cannot go is not in the way of the
//! rest.

use anyhow::Result;
use domain::garbage::Policy;
use registry::{Registry, RegistryError, Removal};
use sqlx::PgPool;
use store::cache;
use store::garbage::{self, Counts, Manifest};
use uuid::Uuid;

use crate::sbom;

/// The rest is left to the next time.
const REMOVED_MAX: i64 = 2000;
const NOT_ALLOWED: &str = "The registry removes nothing: allow it there (REGISTRY_STORAGE_DELETE_ENABLED=true), or let the \
                           registry's own rules do it and keep what is live out of them.";

/// What became of the images and caches. A layer counts once, however many of them have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    pub kept: Counts,
    /// Garbage that is still there.
    pub left: Counts,
    pub removed: Counts,
    /// What could not be done.
    pub fault: Option<String>,
}

enum Fault {
    /// Of this one image.
    One(String),
    /// Of the registry: it would be the same with all others.
    All(String),
}

/// Marks what is garbage and has the registry forget what is marked. `app_id`: of one application only, and no caches.
pub async fn sweep_images(
    db: &PgPool,
    registry: &Registry,
    policy: &Policy,
    app_id: Option<Uuid>,
) -> Result<Swept> {
    for app in garbage::apps(db, policy).await? {
        if app_id.is_none_or(|only| only == app) {
            garbage::mark(db, app, policy).await?;
        }
    }
    let (_, marked) = counts(db).await?;
    let mut swept = Swept::default();
    let mut goes_on = true;
    for manifest in garbage::marked(db, app_id, REMOVED_MAX).await? {
        goes_on = count(&mut swept, remove(db, registry, &manifest).await?);
        if !goes_on {
            break;
        }
    }
    let caches = if goes_on && app_id.is_none() { cache::garbage(db, REMOVED_MAX).await? } else { vec![] };
    for id in caches {
        if !count(&mut swept, remove_cache(db, registry, id).await?) {
            break;
        }
    }
    (swept.kept, swept.left) = counts(db).await?;
    swept.removed.bytes = (marked.bytes - swept.left.bytes).max(0);
    Ok(swept)
}

/// Says whether it is of use to go on.
fn count(swept: &mut Swept, removed: std::result::Result<bool, Fault>) -> bool {
    match removed {
        Ok(removed) => swept.removed.count += i64::from(removed),
        Err(Fault::One(fault)) => {
            swept.fault.get_or_insert(fault);
        }
        Err(Fault::All(fault)) => {
            swept.fault = Some(fault);
            return false;
        }
    }
    true
}

/// What is kept, and what is there beside that.
async fn counts(db: &PgPool) -> Result<(Counts, Counts)> {
    let (kept, all) = garbage::image_counts(db).await?;
    Ok((kept, Counts { count: all.count - kept.count, bytes: all.bytes - kept.bytes }))
}

/// The rows are held meanwhile: nobody can come to need the image between the question and the removal.
async fn remove(
    db: &PgPool,
    registry: &Registry,
    manifest: &Manifest,
) -> Result<std::result::Result<bool, Fault>> {
    let Some(removal) = garbage::begin(db, manifest).await? else { return Ok(Ok(false)) };
    if removal.is_whole
        && let Err(fault) = without_documents(registry, manifest).await
    {
        return Ok(Err(fault));
    }
    let digests = removal.indices.iter().chain(removal.is_whole.then_some(&manifest.digest));
    for digest in digests {
        if let Err(fault) = forget(registry, &format!("{}@{digest}", manifest.repository)).await {
            return Ok(Err(fault));
        }
    }
    let is_whole = removal.is_whole;
    garbage::end(removal).await?;
    Ok(Ok(is_whole))
}

/// Its row is held meanwhile, too: who exports the same one again waits, and asks the registry then.
async fn remove_cache(
    db: &PgPool,
    registry: &Registry,
    id: Uuid,
) -> Result<std::result::Result<bool, Fault>> {
    let Some(removal) = cache::begin(db, id).await? else { return Ok(Ok(false)) };
    if let Err(fault) = forget(registry, &removal.reference).await {
        return Ok(Err(fault));
    }
    cache::end(removal).await?;
    Ok(Ok(true))
}

async fn forget(registry: &Registry, reference: &str) -> std::result::Result<(), Fault> {
    ended(registry::remove(registry, reference).await)
}

/// What Slipway has attached to the image.
async fn without_documents(registry: &Registry, image: &Manifest) -> std::result::Result<(), Fault> {
    let reference = format!("{}@{}", image.repository, image.digest);
    ended(registry::detach(registry, &reference, sbom::MEDIA_TYPE).await)
}

fn ended(removed: std::result::Result<Removal, RegistryError>) -> std::result::Result<(), Fault> {
    match removed {
        Ok(Removal::Gone) => Ok(()),
        Ok(Removal::NotAllowed) => Err(Fault::All(NOT_ALLOWED.to_owned())),
        Err(error @ (RegistryError::Invalid(_) | RegistryError::NotFound(_))) => {
            Err(Fault::One(error.to_string()))
        }
        Err(error @ (RegistryError::Refused(_) | RegistryError::Unavailable(_))) => {
            Err(Fault::All(error.to_string()))
        }
    }
}

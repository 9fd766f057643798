//! Puts an environment back after a failed roll-out.

use anyhow::Context as _;
use manifest::Object;

use crate::fault::Halt;
use crate::subject::Subject;
use crate::{Deployer, apply};

/// Applies again what the live release stored. Without one the new version is stopped, or it would crash for ever.
pub(crate) async fn restore(deployer: &Deployer, subject: &Subject) -> Result<(), Halt> {
    let live = store::release::live_of(&deployer.db, subject.environment.id).await?;
    match live.and_then(|release| release.manifests) {
        Some(manifests) => {
            let objects: Vec<Object> = serde_json::from_value(manifests)
                .context("reading the stored manifests of the live release")?;
            apply::apply_release(&deployer.client, &objects).await?;
        }
        None => apply::scale_to_zero(&deployer.client, &subject.environment.namespace).await?,
    }
    Ok(())
}

//! Makes the namespace of an environment what it is to be. Costs one read when nothing is to do.

use std::time::Duration;

use anyhow::Context as _;
use domain::reason::{Reason, ReasonCode};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DynamicObject};
use kube::{Client, ResourceExt as _};
use manifest::{Object, Place, environment};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::Deployer;
use crate::apply::{Mode, apply};
use crate::fault::{self, Halt};

/// On the namespace: a hash of all that was applied, written when it all was.
const ENSURED: &str = "slipway.dev/ensured";

/// How long the API server's authorizer may take to learn of a new role binding.
const RIGHTS_PATIENCE: Duration = Duration::from_secs(5);
const RIGHTS_STEP: Duration = Duration::from_millis(20);

pub(crate) async fn ensure(deployer: &Deployer, place: Place<'_>) -> Result<(), Halt> {
    let client = &deployer.client;
    let pull_secret = match &deployer.pull_config {
        Some(path) => {
            let config =
                tokio::fs::read(path).await.with_context(|| format!("reading {}", path.display()))?;
            Some(environment::pull_secret(place, &config))
        }
        None => None,
    };
    let (first, second) = (environment::namespace(place), environment::role_binding(place));
    let walls = environment::walls(place, pull_secret.is_some());
    let hash = hash(&[&[first.clone(), second.clone()], walls.as_slice()].concat());

    if ensured(client, place).await? != Some(hash.clone()) {
        tracing::info!(namespace = place.namespace, "preparing the environment");
        for object in [&first, &second] {
            apply(client, object, Mode::Real).await.map_err(|error| fault::platform(&error))?;
        }
        try_join_all(walls.iter().map(|object| apply_with_new_rights(client, object))).await?;
        let mut done = first;
        done["metadata"]["annotations"] = json!({ENSURED: hash});
        apply(client, &done, Mode::Real).await.map_err(|error| fault::platform(&error))?;
    }
    // Not part of the hash, which anybody who sees the namespace can read.
    if let Some(secret) = pull_secret {
        apply_with_new_rights(client, &secret).await?;
    }
    Ok(())
}

/// The hash of what the namespace was made to be, if it exists and was finished.
async fn ensured(client: &Client, place: Place<'_>) -> Result<Option<String>, Reason> {
    let namespaces = Api::<Namespace>::all(client.clone());
    let found =
        fault::request(namespaces.get_opt(place.namespace)).await.map_err(|error| fault::platform(&error))?;
    let Some(namespace) = found else { return Ok(None) };
    if namespace.metadata.deletion_timestamp.is_some() {
        let message = format!("the namespace {} is still being deleted", place.namespace);
        return Err(Reason::new(ReasonCode::ClusterUnavailable, message));
    }
    Ok(namespace.annotations().get(ENSURED).cloned())
}

async fn apply_with_new_rights(client: &Client, object: &Object) -> Result<DynamicObject, Reason> {
    let started = Instant::now();
    loop {
        match apply(client, object, Mode::Real).await {
            Err(error) if fault::is_missing_right(&error) && started.elapsed() < RIGHTS_PATIENCE => {
                tokio::time::sleep(RIGHTS_STEP).await;
            }
            other => return other.map_err(|error| fault::platform(&error)),
        }
    }
}

fn hash(objects: &[Object]) -> String {
    hex::encode(&Sha256::digest(json!(objects).to_string())[..12])
}

//! The labels, annotations and names by which the parts of Slipway know each other's objects.

use serde_json::{Map, Value, json};

use crate::Place;

pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY`].
pub const SLIPWAY: &str = "slipway";
pub const NAME: &str = "app.kubernetes.io/name";
pub const APP: &str = "slipway.dev/app";
pub const ENV: &str = "slipway.dev/env";
/// The release's id; on pods only.
pub const RELEASE: &str = "slipway.dev/release";
/// The release's version; on pods only.
pub const VERSION: &str = "slipway.dev/version";

/// Annotations of a pod: where the router asks it.
pub const HEALTH_PATH: &str = "slipway.dev/health-path";
pub const PORT: &str = "slipway.dev/port";

/// The pod condition, and readiness gate, that a router sends requests to the pod.
pub const ANSWERS: &str = "slipway.dev/answers";

/// The one workload of an environment: its Deployment, Service and container.
pub const WEB: &str = "web";
pub const SERVICE_ACCOUNT: &str = "app";
pub const PULL_SECRET: &str = "registry";

/// The labels of every object of an environment.
pub(crate) fn of(place: Place<'_>) -> Map<String, Value> {
    [(MANAGED_BY, SLIPWAY), (APP, place.app), (ENV, place.env)]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), json!(value)))
        .collect()
}

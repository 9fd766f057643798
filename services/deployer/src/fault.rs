//! Errors of the Kubernetes API as reasons: what is the release's own fault, and what is the platform's.

use std::future::Future;
use std::time::Duration;

use domain::reason::{Reason, ReasonCode};
use manifest::judge::refusal_code;

/// No single request takes this long on a cluster that works.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a roll-out stopped on its way.
#[derive(Debug)]
pub(crate) enum Halt {
    Reason(Reason),
    /// Of the database, mostly: nothing can be recorded, so the job is tried again.
    Error(anyhow::Error),
}

impl From<Reason> for Halt {
    fn from(reason: Reason) -> Halt {
        Halt::Reason(reason)
    }
}

impl From<anyhow::Error> for Halt {
    fn from(error: anyhow::Error) -> Halt {
        Halt::Error(error)
    }
}

impl From<sqlx::Error> for Halt {
    fn from(error: sqlx::Error) -> Halt {
        Halt::Error(error.into())
    }
}

/// Waits for one request to the API, but not for ever.
pub(crate) async fn request<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, kube::Error> {
    match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
        Ok(result) => result,
        Err(elapsed) => Err(kube::Error::Service(elapsed.into())),
    }
}

/// A request that has nothing to do with what the release holds: if it fails, the platform is at fault.
pub(crate) fn platform(error: &kube::Error) -> Reason {
    if let kube::Error::Api(status) = error {
        return if is_passing(status.code) || is_being_removed(error) {
            Reason::new(ReasonCode::ClusterUnavailable, status.message.clone())
        } else {
            let message = format!("the Kubernetes API refused the deployer: {}", status.message);
            Reason::new(ReasonCode::Internal, message)
        };
    }
    if matches!(error, kube::Error::SerdeError(_) | kube::Error::BuildRequest(_)) {
        return Reason::new(
            ReasonCode::Internal,
            format!("a request to the Kubernetes API cannot be made: {error}"),
        );
    }
    let cause = root_cause(error);
    Reason::new(ReasonCode::ClusterUnavailable, format!("the Kubernetes API does not answer: {cause}"))
}

/// A request that carries the release's objects: if they are refused, the release is at fault.
pub(crate) fn release(error: &kube::Error) -> Reason {
    let kube::Error::Api(status) = error else { return platform(error) };
    if matches!(status.code, 400 | 403 | 422) && !is_missing_right(error) && !is_being_removed(error) {
        return Reason::new(refusal_code(&status.message), status.message.clone());
    }
    platform(error)
}

/// Forbidden by missing rights, not by admission. Right after a role binding was made this passes by itself:
/// the API server's authorizer learns of it by a watch.
pub(crate) fn is_missing_right(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status)
        if status.code == 403 && status.message.contains("User \"") && status.message.contains(" cannot "))
}

/// The namespace is on its way out: once it is gone the environment is made anew.
fn is_being_removed(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status)
        if status.code == 403 && status.message.ends_with("because it is being terminated"))
}

pub(crate) fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Overload, a conflict with another writer, or a server that starts or stops.
fn is_passing(code: u16) -> bool {
    matches!(code, 401 | 404 | 408 | 409 | 410 | 429) || code >= 500
}

/// What kube's own words are around.
fn root_cause(error: &kube::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn api(code: u16, message: &str) -> kube::Error {
        kube::Error::Api(Status::failure(message, "").with_code(code).boxed())
    }

    #[test]
    fn who_is_at_fault() {
        let quota = api(403, "pods \"x\" is forbidden: exceeded quota: environment");
        let policy = api(403, "pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\"");
        let right = api(
            403,
            "pods is forbidden: User \"system:x\" cannot create resource \"pods\" in API group \"\"",
        );
        let field = api(400, "strict decoding error: unknown field \"spec.foo\"");
        let leaving = api(
            403,
            "deployments.apps \"web\" is forbidden: unable to create new content in namespace env-x because it is being terminated",
        );
        let etcd = api(500, "etcdserver: request timed out");
        for (error, code) in [
            (&quota, ReasonCode::QuotaExceeded),
            (&policy, ReasonCode::Refused),
            (&field, ReasonCode::Refused),
            (&right, ReasonCode::Internal),
            (&leaving, ReasonCode::ClusterUnavailable),
            (&etcd, ReasonCode::ClusterUnavailable),
        ] {
            assert_eq!(release(error).code, code, "{error}");
        }
        assert!(is_missing_right(&right) && !is_missing_right(&policy));
        assert_eq!(platform(&policy).code, ReasonCode::Internal, "of our own objects");
    }
}

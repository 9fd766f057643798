//! Why a registry did not answer as asked.

use domain::reason::{Reason, ReasonCode};
use oci_client::errors::{OciDistributionError, OciEnvelope, OciErrorCode};

#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("the registry has no {0}")]
    NotFound(String),
    #[error("the registry refuses: {0}")]
    Refused(String),
    /// It is down, busy or not reachable: another try may do.
    #[error("the registry does not answer: {0}")]
    Unavailable(String),
    #[error("{0}")]
    Invalid(String),
}

/// The reason that people are shown: a registry's faults are all the platform's.
pub fn reason(error: &RegistryError) -> Reason {
    let code = match error {
        RegistryError::Refused(_) => ReasonCode::RegistryRefused,
        RegistryError::NotFound(_) | RegistryError::Unavailable(_) => ReasonCode::RegistryUnavailable,
        RegistryError::Invalid(_) => ReasonCode::Internal,
    };
    Reason::new(code, error.to_string())
}

pub(crate) fn classify(image: &str, error: OciDistributionError) -> RegistryError {
    let message = format!("{image}: {error}");
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest says that an answer makes no sense")]
    match error {
        OciDistributionError::ServerError { code: 404, .. }
        | OciDistributionError::ImageManifestNotFoundError(_) => RegistryError::NotFound(image.to_owned()),
        OciDistributionError::ServerError { code: 401 | 403, .. }
        | OciDistributionError::UnauthorizedError { .. }
        | OciDistributionError::AuthenticationFailure(_) => RegistryError::Refused(message),
        OciDistributionError::ServerError { code: 429 | 500.., .. }
        | OciDistributionError::RequestError(_)
        | OciDistributionError::IoError(_) => RegistryError::Unavailable(message),
        OciDistributionError::RegistryError { envelope, .. } => classify_envelope(image, &envelope, message),
        _ => RegistryError::Invalid(message),
    }
}

/// Comes with a 4xx status only.
fn classify_envelope(image: &str, envelope: &OciEnvelope, message: String) -> RegistryError {
    match envelope.errors.first().map(|error| &error.code) {
        Some(
            OciErrorCode::ManifestUnknown
            | OciErrorCode::NameUnknown
            | OciErrorCode::NotFound
            | OciErrorCode::BlobUnknown
            | OciErrorCode::ManifestBlobUnknown,
        ) => RegistryError::NotFound(image.to_owned()),
        Some(OciErrorCode::Toomanyrequests) => RegistryError::Unavailable(message),
        Some(OciErrorCode::Unauthorized | OciErrorCode::Denied) => RegistryError::Refused(message),
        _ => RegistryError::Invalid(message),
    }
}

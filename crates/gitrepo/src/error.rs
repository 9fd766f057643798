//! What can go wrong with a repository, told apart by whose fault it is.

use domain::commit::Commit;
use domain::reason::{Reason, ReasonCode};

#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The forge answered, and the answer is no.
    #[error("the forge refused access to the repository: {0}")]
    Refused(String),
    #[error("commit {} is not in the repository any more", .0.short())]
    Gone(Commit),
    /// No answer, or one that may be another one soon.
    #[error("the forge did not answer: {0}")]
    Unavailable(String),
    /// The commit holds something that cannot be built.
    #[error("{0}")]
    Invalid(String),
    #[error("{0:#}")]
    Other(anyhow::Error),
}

impl From<&GitError> for Reason {
    fn from(error: &GitError) -> Reason {
        let code = match error {
            GitError::Refused(_) => ReasonCode::RepositoryRefused,
            GitError::Gone(_) => ReasonCode::CommitGone,
            GitError::Unavailable(_) => ReasonCode::ForgeUnavailable,
            GitError::Invalid(_) => ReasonCode::SourceInvalid,
            GitError::Other(_) => ReasonCode::Internal,
        };
        Reason::new(code, error.to_string())
    }
}

impl From<git2::Error> for GitError {
    fn from(error: git2::Error) -> GitError {
        GitError::Other(error.into())
    }
}

impl From<std::io::Error> for GitError {
    fn from(error: std::io::Error) -> GitError {
        GitError::Other(error.into())
    }
}

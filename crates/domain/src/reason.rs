//! Why something failed: one code, one sentence, what to do, and the lines that prove it.
//! The same reason is shown on the page, in the API, in the CLI and in the forge's commit status.

use crate::word::word_enum;

/// Whose fault a failure is. A platform's is retried with back-off, a user's never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    User,
    Platform,
}

word_enum! {
    ReasonCode {
        // while building
        StepFailed = "step_failed",
        DockerfileMissing = "dockerfile_missing",
        DockerfileInvalid = "dockerfile_invalid",
        BaseImageMissing = "base_image_missing",
        SourceInvalid = "source_invalid",
        CommitGone = "commit_gone",
        RepositoryRefused = "repository_refused",
        BuildTimeout = "build_timeout",
        ForgeUnavailable = "forge_unavailable",
        BuildkitUnavailable = "buildkit_unavailable",
        CacheCorrupt = "cache_corrupt",
        RegistryRefused = "registry_refused",
        RegistryUnavailable = "registry_unavailable",
        // while rolling out
        CrashedOnStart = "crashed_on_start",
        OutOfMemory = "out_of_memory",
        CannotStart = "cannot_start",
        ImagePullFailed = "image_pull_failed",
        Unschedulable = "unschedulable",
        NeverReady = "never_ready",
        QuotaExceeded = "quota_exceeded",
        Refused = "refused",
        NodeFault = "node_fault",
        ClusterUnavailable = "cluster_unavailable",
        // anywhere
        LeaseLost = "lease_lost",
        Internal = "internal",
    }
}

impl ReasonCode {
    pub const fn fault(self) -> Fault {
        match self {
            ReasonCode::ForgeUnavailable
            | ReasonCode::BuildkitUnavailable
            | ReasonCode::CacheCorrupt
            | ReasonCode::RegistryRefused
            | ReasonCode::RegistryUnavailable
            | ReasonCode::NodeFault
            | ReasonCode::ClusterUnavailable
            | ReasonCode::LeaseLost
            | ReasonCode::Internal => Fault::Platform,
            ReasonCode::StepFailed
            | ReasonCode::DockerfileMissing
            | ReasonCode::DockerfileInvalid
            | ReasonCode::BaseImageMissing
            | ReasonCode::SourceInvalid
            | ReasonCode::CommitGone
            | ReasonCode::RepositoryRefused
            | ReasonCode::BuildTimeout
            | ReasonCode::CrashedOnStart
            | ReasonCode::OutOfMemory
            | ReasonCode::CannotStart
            | ReasonCode::ImagePullFailed
            | ReasonCode::Unschedulable
            | ReasonCode::NeverReady
            | ReasonCode::QuotaExceeded
            | ReasonCode::Refused => Fault::User,
        }
    }

    /// What to do about it, where there is something general to say.
    pub const fn hint(self) -> &'static str {
        match self {
            ReasonCode::StepFailed => "Read the lines below, mend the step and push again.",
            ReasonCode::DockerfileMissing => {
                "Add a Dockerfile to the repository, or set the application's Dockerfile path."
            }
            ReasonCode::DockerfileInvalid => "Mend the Dockerfile at the line named and push again.",
            ReasonCode::BaseImageMissing => {
                "Check the image's name and tag in FROM, and that the registry has it."
            }
            ReasonCode::SourceInvalid => "Mend the file named and push again.",
            ReasonCode::CommitGone => "The branch was moved or deleted meanwhile; push it again.",
            ReasonCode::RepositoryRefused => "Check the application's repository URL, user and token.",
            ReasonCode::BuildTimeout => "Make the build shorter, or raise the limit.",
            ReasonCode::ForgeUnavailable => {
                "The forge did not answer. It was tried several times; push again later."
            }
            ReasonCode::BuildkitUnavailable => {
                "BuildKit did not answer. It was tried several times; push again later."
            }
            ReasonCode::CacheCorrupt => {
                "BuildKit's cache was damaged and has been set aside. Push again, and tell the administrator."
            }
            ReasonCode::RegistryRefused => {
                "Ask the platform's administrator to check the registry's credentials."
            }
            ReasonCode::RegistryUnavailable => {
                "The registry did not answer. It was tried several times; push again later."
            }
            ReasonCode::CrashedOnStart => {
                "The application ended by itself; the lines below are the last it wrote."
            }
            ReasonCode::OutOfMemory => "Use less memory, or raise the environment's memory limit.",
            ReasonCode::CannotStart => {
                "Check the image's command: that it exists, is executable and fits the machine."
            }
            ReasonCode::ImagePullFailed => "The node could not pull the image from the registry.",
            ReasonCode::Unschedulable => {
                "No node has room for it: free some, or ask for less CPU and memory."
            }
            ReasonCode::NeverReady => {
                "Listen on 0.0.0.0 at the port in $PORT and answer the health path with a status below 500."
            }
            ReasonCode::QuotaExceeded => "The environment's quota is used up.",
            ReasonCode::Refused => "The cluster refused the objects; the message says which rule.",
            ReasonCode::NodeFault => "The node could not start the pod; this is not the application's fault.",
            ReasonCode::ClusterUnavailable => {
                "The Kubernetes API did not answer. It was tried several times."
            }
            ReasonCode::LeaseLost => {
                "The worker was lost again and again; push again, and tell the administrator."
            }
            ReasonCode::Internal => "This is a fault of the platform; tell its administrator.",
        }
    }
}

/// At most this many lines of proof are kept; more belongs into the log.
pub const LINES_MAX: usize = 50;

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reason {
    pub code: ReasonCode,
    /// One sentence for people, without a final period.
    pub message: String,
    pub hint: String,
    /// The last lines that matter.
    pub lines: Vec<String>,
}

impl Reason {
    pub fn new(code: ReasonCode, message: impl Into<String>) -> Reason {
        Reason { code, message: message.into(), hint: code.hint().to_owned(), lines: Vec::new() }
    }

    /// Keeps the last [`LINES_MAX`] of `lines` as proof.
    #[must_use]
    pub fn with_lines(mut self, mut lines: Vec<String>) -> Reason {
        lines.drain(..lines.len().saturating_sub(LINES_MAX));
        self.lines = lines;
        self
    }

    pub const fn fault(&self) -> Fault {
        self.code.fault()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_lines() {
        let lines = (0..80).map(|n| n.to_string()).collect();
        let reason = Reason::new(ReasonCode::StepFailed, "step 3 failed").with_lines(lines);
        assert_eq!(reason.lines.len(), LINES_MAX);
        assert_eq!(reason.lines.last().map(String::as_str), Some("79"));
    }

    #[test]
    fn every_code_has_a_hint() {
        for code in ReasonCode::ALL {
            assert!(code.hint().ends_with('.'), "{code}");
        }
    }
}

//! The states of pushes, builds and releases, and which of them are final.

use crate::word::word_enum;

word_enum! {
    PushState {
        /// Written down; git has not taken it yet.
        Receiving = "receiving",
        /// It has a build of its own.
        Accepted = "accepted",
        /// It found a build of the same commit, which speaks for it.
        Attached = "attached",
        /// The branch was elsewhere, or another build was in its way.
        Rejected = "rejected",
        /// It ended before git had taken it.
        Aborted = "aborted",
    }
}

word_enum! {
    BuildState {
        Queued = "queued",
        Running = "running",
        Succeeded = "succeeded",
        Failed = "failed",
        /// A newer commit of the same branch took its place.
        Superseded = "superseded",
        Cancelled = "cancelled",
    }
}

impl BuildState {
    pub const fn is_final(self) -> bool {
        !matches!(self, BuildState::Queued | BuildState::Running)
    }
}

word_enum! {
    ReleaseState {
        Queued = "queued",
        Rolling = "rolling",
        /// The new version answered through the router.
        Live = "live",
        Failed = "failed",
        /// A newer release of the same environment took its place before it was live.
        Superseded = "superseded",
        /// Was live until a newer release became live.
        Replaced = "replaced",
    }
}

impl ReleaseState {
    pub const fn is_final(self) -> bool {
        !matches!(self, ReleaseState::Queued | ReleaseState::Rolling)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back() {
        for state in BuildState::ALL {
            assert_eq!(state.as_str().parse::<BuildState>().unwrap(), *state);
        }
        let error = "done".parse::<ReleaseState>().unwrap_err().to_string();
        assert!(error.contains("\"done\"") && error.contains("replaced"), "{error}");
    }
}

//! The kinds of work in the queue, and what becomes of a branch's builds when a newer commit arrives.

use crate::word::word_enum;

word_enum! {
    /// What a job asks for. It names a subject and carries no other input.
    JobKind {
        /// Ask the forge what a branch is now. Subject: the branch.
        Resolve = "resolve",
        /// Tell the forge how a build and its release stand. Subject: the build.
        Report = "report",
        /// Build a commit into an image. Subject: the build.
        Build = "build",
        /// Make an environment what it is to be. Subject: the release to roll out, or the environment, to remove it.
        Deploy = "deploy",
    }
}

word_enum! {
    /// Which of a branch's commits are built.
    BuildPolicy {
        /// The newest: what waits gives way to it, and what runs is stopped.
        Newest = "newest",
        /// All, one after the other in the order in which they came.
        Every = "every",
        /// The newest, once what runs has ended by itself.
        FinishRunning = "finish-running",
    }
}

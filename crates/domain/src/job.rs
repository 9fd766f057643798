//! The kinds of work in the queue.

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

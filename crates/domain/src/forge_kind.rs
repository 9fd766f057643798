//! The forges Slipway listens to.

use crate::word::word_enum;

word_enum! {
    /// Which forge an application's repository lives on. Comes from our own row, never from a delivery's headers:
    /// Gogs and Gitea send the other forges' headers too.
    ForgeKind {
        Gitea = "gitea",
        Gogs = "gogs",
        Github = "github",
    }
}

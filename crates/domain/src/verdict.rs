//! What was made of a webhook delivery.

use crate::word::word_enum;

word_enum! {
    Verdict {
        /// Verified; its branch is resolved next.
        Accepted = "accepted",
        /// Verified, and its delivery id was seen before: nothing happens.
        Duplicate = "duplicate",
        BadSignature = "bad signature",
        /// Verified, but nothing to build: the delivery says why.
        Ignored = "ignored",
        TooLarge = "too large",
        UnknownHook = "unknown hook",
    }
}

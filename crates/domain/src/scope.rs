//! What a token may do.

use crate::word::word_enum;

word_enum! {
    /// Each holds those before it.
    Scope {
        Read = "read",
        /// Also push, and create applications.
        Push = "push",
        /// Also make and revoke tokens.
        Admin = "admin",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scope_holds_those_before_it() {
        assert!(Scope::Read < Scope::Push && Scope::Push < Scope::Admin);
    }
}

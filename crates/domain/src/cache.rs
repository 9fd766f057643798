//! When a BuildKit takes over an application's cache from the registry: as long as it may have less than that itself. Pure.

/// A build that imports takes over only those results that it needs itself, so one of them does not make a cold BuildKit
/// warm. One that imports nothing counts as so many.
pub const BUILDS_ENOUGH: i32 = 5;
/// What was not used for so long may have had to make room.
pub const IDLE_SECONDS_MAX: u32 = 24 * 60 * 60;

/// What is known of an application's builds at one BuildKit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Built {
    /// Counted up to [`BUILDS_ENOUGH`], and anew after [`IDLE_SECONDS_MAX`] without any.
    pub builds: i32,
    /// Since the last of them.
    pub idle_seconds: i64,
}

/// Whether to import. An import costs each build a question to the registry, so a warm BuildKit makes none.
pub fn is_cold(built: Option<Built>) -> bool {
    built.is_none_or(|it| it.builds < BUILDS_ENOUGH || it.idle_seconds > i64::from(IDLE_SECONDS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buildkit_is_cold_until_it_built_some_and_when_it_has_not_for_long() {
        let built = |builds, idle_seconds| Some(Built { builds, idle_seconds });
        assert!(is_cold(None), "it never built the application");
        assert!(is_cold(built(1, 0)) && is_cold(built(BUILDS_ENOUGH - 1, 10)));
        assert!(!is_cold(built(BUILDS_ENOUGH, 10)));
        assert!(!is_cold(built(BUILDS_ENOUGH, i64::from(IDLE_SECONDS_MAX))));
        assert!(is_cold(built(BUILDS_ENOUGH, i64::from(IDLE_SECONDS_MAX) + 1)));
    }
}

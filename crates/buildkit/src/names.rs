//! How a build's steps are called: not always as in the Dockerfile that BuildKit was given.

use std::fmt;
use std::sync::Arc;

type Shown = dyn Fn(&str) -> String + Send + Sync;

/// From BuildKit's name of a step to the one that is shown.
#[derive(Clone)]
pub struct Names(Arc<Shown>);

impl Names {
    pub fn new(shown: impl Fn(&str) -> String + Send + Sync + 'static) -> Names {
        Names(Arc::new(shown))
    }

    pub(crate) fn shown(&self, name: &str) -> String {
        (self.0)(name)
    }
}

impl Default for Names {
    /// As BuildKit calls them.
    fn default() -> Names {
        Names::new(str::to_owned)
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names")
    }
}

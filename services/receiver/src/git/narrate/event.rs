//! What happens to a build, as its follower sees it and its narrator tells it.

use std::time::Duration;

use domain::reason::Reason;
use store::build::Image;
use store::log::Step;
use store::queue::standing::Standing;

#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// It waits for a builder, for the first time or again, or moved forward in the queue.
    Waits(Standing),
    /// A builder works on it.
    Builds,
    StepBegan(Step),
    /// Its lines came before, but for those of a step that ran beside others.
    StepEnded(Step),
    Line {
        /// 0: the build itself.
        step: i32,
        text: String,
    },
    Built {
        took: Duration,
        image: Option<Image>,
        /// So many of its bytes the application's image before it has not.
        new_bytes: Option<i64>,
    },
    /// It has a release, or that is being rolled out from now on.
    Release(Release),
    /// For some seconds nothing could be read.
    DatabaseAway,
    DatabaseBack,
    /// Nothing follows.
    End(End),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Release {
    pub(crate) version: i32,
    /// Else it waits for that.
    pub(crate) is_rolling: bool,
    pub(crate) port: i32,
    pub(crate) health_path: String,
}

#[derive(Clone, Debug)]
pub(crate) enum End {
    /// It waits or runs, and nobody wanted to see more.
    Queued,
    /// Its release goes on, and nobody wanted to see more.
    Built,
    Failed(Reason),
    Superseded {
        by: Option<i32>,
    },
    Cancelled {
        /// `None`: its branch was deleted.
        by: Option<String>,
    },
    Live {
        /// From the push's arrival.
        after: Duration,
        /// A newer release has taken its place since.
        is_replaced: bool,
    },
    ReleaseFailed {
        version: i32,
        reason: Reason,
    },
    /// By a newer release of the environment, mostly this one.
    ReleaseSuperseded {
        version: i32,
        by: Option<i32>,
    },
    /// Its application or its environment was removed.
    Gone,
}

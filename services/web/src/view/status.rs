//! How a build stands in one word, its release included: the same word on the pages, in the API and in the command.

use domain::state::{BuildState, ReleaseState};

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Queued,
    Building,
    /// The image is there; its release waits for its turn.
    Built,
    Rolling,
    Live,
    /// Was live until a newer release was.
    Replaced,
    Failed,
    /// A newer commit of its branch took its place.
    Superseded,
    Cancelled,
    /// Its environment was, and its release with it.
    Removed,
}

impl Status {
    pub(crate) fn of(build: BuildState, release: Option<ReleaseState>) -> Status {
        match (build, release) {
            (BuildState::Queued, _) => Status::Queued,
            (BuildState::Running, _) => Status::Building,
            (BuildState::Failed, _) => Status::Failed,
            (BuildState::Superseded, _) => Status::Superseded,
            (BuildState::Cancelled, _) => Status::Cancelled,
            // A build succeeds together with its release.
            (BuildState::Succeeded, None) => Status::Removed,
            (BuildState::Succeeded, Some(release)) => Status::of_release(release),
        }
    }

    pub(crate) fn of_release(release: ReleaseState) -> Status {
        match release {
            ReleaseState::Queued => Status::Built,
            ReleaseState::Rolling => Status::Rolling,
            ReleaseState::Live => Status::Live,
            ReleaseState::Replaced => Status::Replaced,
            ReleaseState::Failed => Status::Failed,
            ReleaseState::Superseded => Status::Superseded,
        }
    }

    /// For people.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Status::Queued => "queued",
            Status::Building => "building",
            Status::Built => "built",
            Status::Rolling => "rolling out",
            Status::Live => "live",
            Status::Replaced => "was live",
            Status::Failed => "failed",
            Status::Superseded => "superseded",
            Status::Cancelled => "cancelled",
            Status::Removed => "removed",
        }
    }

    /// The class of its colour; several states share one, which is why the word and the shape are always there.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Status::Queued | Status::Built => "waiting",
            Status::Building | Status::Rolling => "busy",
            Status::Live => "good",
            Status::Failed => "bad",
            Status::Replaced | Status::Superseded | Status::Cancelled | Status::Removed => "past",
        }
    }

    /// The shape beside the word: an SVG path in a box of 16.
    pub(crate) fn shape(self) -> &'static str {
        match self {
            Status::Queued => "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2ZM8 4.5V8l2.5 1.5",
            Status::Building => "M8 2a6 6 0 1 1-6 6",
            Status::Built => "M2.5 5 8 2l5.5 3v6L8 14l-5.5-3ZM2.5 5 8 8l5.5-3M8 8v6",
            Status::Rolling => "M8 14V3M3.5 7.5 8 3l4.5 4.5",
            Status::Live => "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2ZM5 8.2l2.2 2.1L11 6",
            Status::Replaced => "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2ZM5 8h6",
            Status::Failed => "M5.5 2h5L14 5.5v5L10.5 14h-5L2 10.5v-5ZM6 6l4 4M10 6l-4 4",
            Status::Superseded => "M3 3.5 7.5 8 3 12.5M8.5 3.5 13 8l-4.5 4.5",
            Status::Cancelled => "M2.5 2.5h11v11h-11ZM2.5 13.5l11-11",
            Status::Removed => "M2.5 2.5h11v11h-11ZM5 8h6",
        }
    }

    /// For a tab's title.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Status::Queued | Status::Built => "○",
            Status::Building | Status::Rolling => "◐",
            Status::Live => "✓",
            Status::Failed => "✕",
            Status::Replaced | Status::Superseded | Status::Cancelled | Status::Removed => "»",
        }
    }

    /// Nothing about the build changes any more, but for a live one that is replaced one day.
    pub(crate) fn is_final(self) -> bool {
        self.class() != "waiting" && self.class() != "busy"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_states_has_a_word() {
        let releases = ReleaseState::ALL.iter().copied().map(Some).chain([None]);
        let mut table = String::new();
        for release in releases {
            for build in BuildState::ALL {
                let status = Status::of(*build, release);
                let release = release.map_or("-", ReleaseState::as_str);
                if *build == BuildState::Succeeded || release == "-" {
                    let end = if status.is_final() { ", final" } else { "" };
                    table += &format!("{build} {release}: {} ({}{end})\n", status.word(), status.class());
                }
            }
        }
        insta::assert_snapshot!(table);
    }
}

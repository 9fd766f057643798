//! What is kept, what is garbage, and what was removed.

use domain::garbage::GarbageKind;
use store::Time;
use store::garbage::Overview;

/// So many things, of so many bytes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Amount {
    pub(crate) count: i64,
    pub(crate) bytes: i64,
}

/// The numbers of one kind of things, at all places that hold some.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Garbage {
    /// `images`, `mirrors`, `repositories`, `caches` or `logs`
    #[schema(value_type = String)]
    pub(crate) kind: GarbageKind,
    /// The policy in words.
    pub(crate) rule: String,
    pub(crate) kept: Amount,
    /// Garbage that is still there.
    pub(crate) garbage: Amount,
    pub(crate) removed_in_30_days: Amount,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) looked_at: Time,
    /// How many builders or BuildKit daemons hold some; 1 for what there is once.
    pub(crate) places: i64,
    /// What the last look could not do.
    pub(crate) faults: Vec<String>,
}

impl From<Overview> for Garbage {
    fn from(row: Overview) -> Garbage {
        let amount = |count, bytes| Amount { count, bytes };
        Garbage {
            kind: row.kind.0,
            rule: row.rule,
            kept: amount(row.kept_count, row.kept_bytes),
            garbage: amount(row.left_count, row.left_bytes),
            removed_in_30_days: amount(row.removed_count, row.removed_bytes),
            looked_at: row.looked_at,
            places: row.holders,
            faults: row.faults,
        }
    }
}

impl Garbage {
    pub(crate) fn title(&self) -> &'static str {
        match self.kind {
            GarbageKind::Images => "Images in the registry",
            GarbageKind::Mirrors => "Builders' mirrors of repositories",
            GarbageKind::Repositories => "Repositories that are pushed here",
            GarbageKind::Caches => "Caches of BuildKit",
            GarbageKind::Logs => "Logs of builds",
        }
    }

    /// BuildKit removes what it likes and tells nobody.
    pub(crate) fn tells_removals(&self) -> bool {
        self.kind != GarbageKind::Caches
    }
}

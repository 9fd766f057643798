//! Where a build stands in the queue, as a sentence and as numbers; and an application's share of the builders.

use std::collections::BTreeMap;

use domain::job::BuildPolicy;
use store::queue::standing::{Standing, Why};
use store::team::{BranchPolicy, Share as Row};

use super::text;

#[derive(Clone, Debug, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Queue {
    /// From 1, over all applications, in the order in which builds will be taken.
    pub(crate) position: i64,
    pub(crate) waiting: i64,
    pub(crate) running: i64,
    /// The first of those before it.
    pub(crate) ahead: Vec<Ahead>,
    /// `pause`, `branch`, `app`, `team`, `turn` or `builder`
    pub(crate) reason: &'static str,
    /// The same as a sentence.
    pub(crate) why: String,
    /// Estimated from what builds took before; nothing when too little is known.
    pub(crate) starts_in_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Ahead {
    pub(crate) app: String,
    pub(crate) number: i32,
}

impl Queue {
    /// Who may see one application, `only`, learns of others' builds only how many they are.
    pub(crate) fn new(standing: &Standing, only: Option<&str>) -> Queue {
        let is_shown = |app: &str| only.is_none_or(|only| only == app);
        let ahead = standing.ahead.iter().filter(|it| is_shown(&it.app));
        Queue {
            position: standing.position,
            waiting: standing.waiting,
            running: standing.running,
            ahead: ahead.map(|it| Ahead { app: it.app.clone(), number: it.number }).collect(),
            reason: standing.why.as_str(),
            why: why(&standing.why),
            starts_in_ms: standing.starts_in.and_then(|it| u64::try_from(it.as_millis()).ok()),
        }
    }

    /// `about 1 m 20 s`; nothing when too little is known.
    pub(crate) fn starts_in(&self) -> Option<String> {
        // Nobody can say it more exactly.
        let rounded = self.starts_in_ms.map(|ms| ms.div_ceil(10_000) * 10_000);
        rounded.map(|ms| format!("about {}", text::duration(&Some(ms))))
    }
}

fn why(why: &Why) -> String {
    match why {
        Why::Pause => "It waits for its next attempt after a fault of the platform.".to_owned(),
        Why::Branch { number } => format!("It waits for #{number}: builds of one branch run one at a time."),
        Why::App { number, limit: 1 } => {
            format!("It waits for #{number}: builds of this application run one at a time.")
        }
        Why::App { number, limit } => {
            format!("It waits for #{number}: {limit} builds of this application run at a time.")
        }
        Why::Team { name, limit } => format!("It waits for a build of team {name}: {limit} run at a time."),
        Why::Turn => "Its turn comes later: others are before it.".to_owned(),
        Why::Builder => "It is next, and waits for a free builder.".to_owned(),
    }
}

/// An application's share of the builders.
#[derive(Clone, Debug, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Share {
    pub(crate) team: String,
    /// How many turns it gets for one turn of an application of weight 1 of its team.
    pub(crate) weight: i32,
    /// So many of its builds run at a time, each of another branch.
    pub(crate) build_limit: i32,
    /// The branches of which not simply the newest commit is built: `every` or `finish-running`.
    #[schema(value_type = BTreeMap<String, String>)]
    pub(crate) branches: BTreeMap<String, BuildPolicy>,
}

impl Share {
    pub(crate) fn new(row: Row, policies: Vec<BranchPolicy>) -> Share {
        let branches = policies.into_iter().map(|it| (it.branch, it.policy.0)).collect();
        Share { team: row.team, weight: row.weight, build_limit: row.build_limit, branches }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn others_builds_are_not_named_to_who_may_not_see_them() {
        let ahead = [("shop", 3), ("demo", 9)]
            .map(|(app, number)| store::queue::standing::Ahead { app: app.to_owned(), number });
        let standing = Standing {
            position: 3,
            waiting: 4,
            running: 2,
            ahead: ahead.into(),
            why: Why::App { number: 9, limit: 1 },
            starts_in: Some(Duration::from_secs(72)),
            attempt: 0,
            attempt_max: 4,
            error: None,
            pause: Duration::ZERO,
        };
        let all = Queue::new(&standing, None);
        assert_eq!(
            (all.ahead.len(), all.reason, all.starts_in().as_deref()),
            (2, "app", Some("about 1 m 20 s"))
        );
        assert!(all.why.contains("#9") && all.why.contains("one at a time"), "{}", all.why);
        let own = Queue::new(&standing, Some("demo"));
        assert_eq!(own.ahead, [Ahead { app: "demo".to_owned(), number: 9 }]);
        assert_eq!(own.position, 3);
    }
}

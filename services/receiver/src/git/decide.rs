//! What becomes of a push that git has taken, given what else is going on with its branch. Pure.

use domain::commit;
use domain::push_options::PushOptions;

/// A build of the branch that has not settled.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight<'a> {
    pub(super) number: i32,
    pub(super) commit: &'a str,
    pub(super) pusher: Option<&'a str>,
    /// The pushed commit has it among its ancestors.
    pub(super) is_contained: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Situation<'a> {
    /// What the branch shows now.
    pub(super) head: Option<&'a str>,
    /// The pushed commit has the head among its ancestors.
    pub(super) contains_head: bool,
    /// What the client saw the branch as.
    pub(super) old: Option<&'a str>,
    pub(super) new: &'a str,
    pub(super) pusher: Option<&'a str>,
    pub(super) options: &'a PushOptions,
    pub(super) in_flight: Option<InFlight<'a>>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// It becomes a build.
    Accept,
    /// The build in flight is of this very commit.
    Attach,
    /// This very commit is what is live.
    Live,
    Reject(String),
}

pub(super) fn decide(push: &Situation<'_>) -> Decision {
    if push.head == Some(push.new) && push.in_flight.is_none() {
        return Decision::Live;
    }
    if push.in_flight.is_some_and(|running| running.commit == push.new) {
        return Decision::Attach;
    }
    // A head that moved since the client looked, but to what the push contains, loses nothing.
    if push.head != push.old && !push.contains_head {
        return Decision::Reject("fetch first: the branch moved while you pushed".to_owned());
    }
    match push.in_flight {
        Some(running) if !may_supersede(push, &running) => {
            let by = running.pusher.map(|pusher| format!(" by {pusher}")).unwrap_or_default();
            let text = format!(
                "build #{} of {}{by} is still running; wait for it, or push with -o supersede",
                running.number,
                commit::short(running.commit)
            );
            Decision::Reject(text)
        }
        _ => Decision::Accept,
    }
}

/// What somebody else is still bringing live is not dropped silently.
fn may_supersede(push: &Situation<'_>, running: &InFlight<'_>) -> bool {
    running.is_contained || push.options.supersede || running.pusher == push.pusher
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn by_bob(commit: &str, is_contained: bool) -> Option<InFlight<'_>> {
        Some(InFlight { number: 41, commit, pusher: Some("bob"), is_contained })
    }

    fn situation<'a>(options: &'a PushOptions) -> Situation<'a> {
        Situation {
            head: None,
            contains_head: false,
            old: None,
            new: B,
            pusher: Some("ann"),
            options,
            in_flight: None,
        }
    }

    #[test]
    fn what_becomes_of_a_push() {
        let plain = PushOptions::default();
        let first = situation(&plain);
        assert_eq!(decide(&first), Decision::Accept);
        assert_eq!(decide(&Situation { head: Some(B), ..first }), Decision::Live);
        assert_eq!(decide(&Situation { in_flight: by_bob(B, true), ..first }), Decision::Attach);
        assert_eq!(
            decide(&Situation { head: Some(A), old: Some(A), ..first }),
            Decision::Accept,
            "also forced"
        );
        assert!(
            matches!(decide(&Situation { head: Some(A), ..first }), Decision::Reject(why) if why.contains("fetch first"))
        );
        assert_eq!(decide(&Situation { head: Some(A), contains_head: true, ..first }), Decision::Accept);
    }

    #[test]
    fn what_others_are_building_is_not_dropped_silently() {
        let (plain, supersede) =
            (PushOptions::default(), PushOptions { supersede: true, ..PushOptions::default() });
        let sibling = Situation { in_flight: by_bob(A, false), ..situation(&plain) };
        let Decision::Reject(why) = decide(&sibling) else {
            panic!("a sibling of another's build is rejected")
        };
        assert!(why.contains("#41") && why.contains("by bob") && why.contains("-o supersede"), "{why}");
        assert_eq!(decide(&Situation { in_flight: by_bob(A, true), ..sibling }), Decision::Accept);
        assert_eq!(decide(&Situation { pusher: Some("bob"), ..sibling }), Decision::Accept);
        assert_eq!(decide(&Situation { options: &supersede, ..sibling }), Decision::Accept);
    }

    #[test]
    fn going_back_to_what_is_live_while_something_newer_is_built() {
        let plain = PushOptions::default();
        let back = Situation {
            head: Some(B),
            old: Some(B),
            in_flight: by_bob(A, false),
            pusher: Some("bob"),
            ..situation(&plain)
        };
        assert_eq!(decide(&back), Decision::Accept);
    }
}

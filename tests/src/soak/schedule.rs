//! What a soak does, decided by its seed alone: the same seed kills, breaks and pushes the same things in the same order.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::player::{End, Script};

/// After so many kills something else breaks.
const KILLS_PER_FAULT: usize = 10;
/// A commit adds at most so many lines of text that does not compress.
const LINES_MAX: usize = 400;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kill {
    /// The receiver and all git processes it started, as when the node loses power.
    Everything,
    /// The receiver alone: its children lose their input.
    Receiver,
    /// One git process: its receiver goes on.
    Child,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// All connections to the database end; new ones are taken.
    Connections,
    /// As before, and no new ones are taken for a while. It begins while git takes a push, between intent and accept.
    Outage(Duration),
    /// The volume of the repositories is full for a while.
    Full(Duration),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Kill(Kill),
    Fault(Fault),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub pause: Duration,
    pub deed: Deed,
    /// Which of several processes.
    pub choice: usize,
}

/// What a pusher does with its next commit.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub lines: usize,
    /// It changes a link, which the receiver leaves to a git process to judge.
    pub is_for_git: bool,
    /// It waits for the verdict; else only until the build is queued.
    pub waits: bool,
    pub script: Script,
    /// Having been told of a failure, it pushes the same commit again.
    pub repeats: bool,
}

/// Exactly `kills` kills, and faults between them.
pub fn steps(seed: u64, kills: usize, with_faults: bool) -> Vec<Step> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut steps = Vec::new();
    for n in 1..=kills {
        let kill = match rng.random_range(0..10) {
            0..4 => Kill::Everything,
            4..7 => Kill::Receiver,
            _ => Kill::Child,
        };
        steps.push(step(&mut rng, Deed::Kill(kill)));
        if with_faults && n % KILLS_PER_FAULT == 0 {
            let lasts = Duration::from_millis(rng.random_range(200..2500));
            let fault = match (n / KILLS_PER_FAULT) % 3 {
                0 => Fault::Connections,
                1 => Fault::Outage(lasts),
                _ => Fault::Full(lasts),
            };
            steps.push(step(&mut rng, Deed::Fault(fault)));
        }
    }
    steps
}

fn step(rng: &mut StdRng, deed: Deed) -> Step {
    Step { pause: Duration::from_millis(rng.random_range(150..=1600)), deed, choice: rng.random_range(0..64) }
}

/// The plans of one pusher, without end.
pub fn plans(seed: u64, pusher: usize) -> impl Iterator<Item = Plan> + Send {
    let mut rng = StdRng::seed_from_u64(seed.wrapping_mul(31).wrapping_add(pusher as u64 + 1));
    std::iter::repeat_with(move || plan(&mut rng))
}

fn plan(rng: &mut StdRng) -> Plan {
    let end = match rng.random_range(0..10) {
        0..7 => End::Live,
        7..9 => End::BuildFails,
        _ => End::RollOutFails,
    };
    let longest = if rng.random_ratio(1, 20) { 2500 } else { 500 };
    let script = Script {
        builds_for: Duration::from_millis(rng.random_range(10..longest)),
        rolls_out_for: Duration::from_millis(rng.random_range(5..150)),
        end,
    };
    Plan {
        lines: rng.random_range(1..=LINES_MAX),
        is_for_git: rng.random_ratio(1, 2),
        waits: rng.random_ratio(1, 2),
        script,
        repeats: rng.random_ratio(1, 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_replays() {
        assert_eq!(steps(7, 50, true), steps(7, 50, true));
        assert_ne!(steps(7, 50, true), steps(8, 50, true));
        let lines = |seed, pusher| plans(seed, pusher).take(20).map(|plan| plan.lines).collect::<Vec<_>>();
        assert_eq!(lines(7, 1), lines(7, 1));
        assert_ne!(lines(7, 1), lines(7, 2));
    }

    #[test]
    fn all_kills_and_all_kinds_are_there() {
        let of = |steps: &[Step], is: fn(&Deed) -> bool| steps.iter().filter(|step| is(&step.deed)).count();
        let steps = steps(1, 300, true);
        assert_eq!(of(&steps, |deed| matches!(deed, Deed::Kill(_))), 300);
        for kill in [
            |deed: &Deed| *deed == Deed::Kill(Kill::Everything),
            |deed: &Deed| *deed == Deed::Kill(Kill::Receiver),
            |deed: &Deed| *deed == Deed::Kill(Kill::Child),
        ] {
            assert!(of(&steps, kill) > 50);
        }
        assert_eq!(of(&steps, |deed| matches!(deed, Deed::Fault(Fault::Outage(_)))), 10);
        assert_eq!(of(&steps, |deed| matches!(deed, Deed::Fault(Fault::Full(_)))), 10);
        assert_eq!(super::steps(1, 20, false).len(), 20);
    }
}

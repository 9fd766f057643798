//! Rendezvous hashing: every daemon has a score for every application, and the highest wins. Pure.
//!
//! When one of N daemons dies only its own applications move, each to the next in its rank, and back when it returns.

/// What is known of a daemon when one is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) is_well: bool,
    /// Its cache was damaged, and setting it aside did not help.
    pub(super) is_doubted: bool,
    /// Builds of ours that run on it.
    pub(super) active: usize,
}

/// Indices of `names`, the best for `key` first.
pub(super) fn ranked(key: &str, names: &[&str]) -> Vec<usize> {
    let mut ranked: Vec<usize> = (0..names.len()).collect();
    ranked.sort_by_key(|&index| std::cmp::Reverse((score(key, names[index]), names[index])));
    ranked
}

/// The first in rank that is well and has room. Where none has room: of those that are well the least busy one, so that
/// a limit never stops a build. One that is doubted is taken when there is no other.
pub(super) fn choose(ranked: &[usize], standings: &[Standing], builds_max: usize) -> Option<usize> {
    let of = |is_doubted| {
        let is_such =
            move |index: &usize| standings[*index].is_well && standings[*index].is_doubted == is_doubted;
        let such = || ranked.iter().copied().filter(is_such);
        such()
            .find(|&index| standings[index].active < builds_max)
            .or_else(|| such().min_by_key(|&index| standings[index].active))
    };
    of(false).or_else(|| of(true))
}

/// All builders of all versions must agree, so it is no hash of the standard library: FNV-1a, and the last step of
/// `MurmurHash3`, without which similar names have similar scores.
fn score(key: &str, name: &str) -> u64 {
    let bytes = key.bytes().chain([0]).chain(name.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["tcp://buildkitd-0:1234", "tcp://buildkitd-1:1234", "tcp://buildkitd-2:1234"];
    const KEYS: usize = 3000;

    fn keys() -> impl Iterator<Item = String> {
        (0..KEYS).map(|n| format!("01a1fe98-160b-7113-af99-{n:012x}"))
    }

    fn standings(of: &[(bool, usize)]) -> Vec<Standing> {
        of.iter().map(|&(is_well, active)| Standing { is_well, is_doubted: false, active }).collect()
    }

    #[test]
    fn every_daemon_has_its_share() {
        let mut shares = [0; NAMES.len()];
        keys().for_each(|key| shares[ranked(&key, &NAMES)[0]] += 1);
        let fair = KEYS / NAMES.len();
        assert!(shares.iter().all(|&share| share > fair * 9 / 10 && share < fair * 11 / 10), "{shares:?}");
    }

    #[test]
    fn only_the_keys_of_a_daemon_that_dies_move() {
        let mut moved = 0;
        for key in keys() {
            let before = ranked(&key, &NAMES);
            let after = ranked(&key, &NAMES[..2]);
            if before[0] == 2 {
                moved += 1;
                assert_eq!(after[0], before[1], "to the next in rank");
            } else {
                assert_eq!(after[0], before[0]);
            }
        }
        assert!(moved <= KEYS / 3 + KEYS / 20, "{moved} of {KEYS}");
    }

    #[test]
    fn the_rank_does_not_depend_on_the_order_of_the_names() {
        let turned = [NAMES[2], NAMES[0], NAMES[1]];
        for key in keys().take(100) {
            let names = |ranked: Vec<usize>, names: [&'static str; 3]| {
                ranked.into_iter().map(|it| names[it]).collect()
            };
            let (one, other): (Vec<_>, Vec<_>) =
                (names(ranked(&key, &NAMES), NAMES), names(ranked(&key, &turned), turned));
            assert_eq!(one, other);
        }
    }

    #[test]
    fn the_scores_are_what_they_were_in_every_version() {
        assert_eq!(score("app", "tcp://buildkitd-0:1234"), score("app", "tcp://buildkitd-0:1234"));
        assert_eq!(score("", ""), SCORE_OF_NOTHING);
    }

    /// Of one zero byte, worked out by hand once.
    const SCORE_OF_NOTHING: u64 = {
        let hash = 0xcbf2_9ce4_8422_2325_u64.wrapping_mul(0x0100_0000_01b3);
        let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^ (hash >> 33)
    };

    #[test]
    fn the_first_that_is_well_and_has_room() {
        let choose = |of: &[(bool, usize)]| choose(&[1, 0, 2], &standings(of), 2);
        assert_eq!(choose(&[(true, 0), (true, 1), (true, 0)]), Some(1));
        assert_eq!(choose(&[(true, 0), (true, 2), (true, 0)]), Some(0), "full");
        assert_eq!(choose(&[(true, 0), (false, 0), (true, 0)]), Some(0), "away");
        assert_eq!(choose(&[(false, 0), (false, 0), (true, 7)]), Some(2), "the only one");
        assert_eq!(choose(&[(true, 3), (true, 4), (true, 3)]), Some(0), "all are full: the least busy");
        assert_eq!(choose(&[(false, 0), (false, 0), (false, 0)]), None);
    }

    #[test]
    fn one_that_is_doubted_comes_last() {
        let mut standings = standings(&[(true, 0), (true, 0), (false, 0)]);
        standings[1].is_doubted = true;
        assert_eq!(choose(&[1, 0, 2], &standings, 2), Some(0));
        standings[0].is_well = false;
        assert_eq!(choose(&[1, 0, 2], &standings, 2), Some(1));
    }
}

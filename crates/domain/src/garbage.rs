//! The one policy that says what is kept and what is garbage. Pure: who asks brings the facts.

use crate::word::word_enum;

const SECONDS_A_DAY: u64 = 24 * 60 * 60;
/// No build takes so long. A mirror that was used within it may be in use, whatever became of its application.
const MIRROR_SECONDS_MIN: u64 = 60 * 60;

word_enum! {
    GarbageKind {
        /// In the registry.
        Images = "images",
        /// Of repositories, at each builder.
        Mirrors = "mirrors",
        /// That are pushed to the receiver, which keeps them all.
        Repositories = "repositories",
        /// Of each BuildKit, which keeps its own limits.
        Caches = "caches",
        /// Of builds.
        Logs = "logs",
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The images of so many of each environment's newest releases are kept.
    pub releases: u32,
    /// Every image is kept for so many days.
    pub image_days: u32,
    /// A mirror that no build used for so many days goes.
    pub mirror_days: u32,
}

/// What is known of an image and the build whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageFacts {
    pub age_seconds: u64,
    /// Its release is live, is being rolled out, or waits for that.
    pub is_in_use: bool,
    /// Its release's place among its environment's; that of the newest is 1.
    pub rank: Option<u32>,
    /// No newer build of its branch succeeded, and the branch is there.
    pub is_newest_of_branch: bool,
}

/// What is known of a builder's mirror of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MirrorFacts {
    pub idle_seconds: u64,
    pub has_app: bool,
}

pub fn is_image_garbage(policy: &Policy, image: &ImageFacts) -> bool {
    !image.is_in_use
        && !image.is_newest_of_branch
        && image.rank.is_none_or(|rank| rank > policy.releases)
        && image.age_seconds >= u64::from(policy.image_days) * SECONDS_A_DAY
}

pub fn is_mirror_garbage(policy: &Policy, mirror: &MirrorFacts) -> bool {
    let days = if mirror.has_app { policy.mirror_days } else { 0 };
    mirror.idle_seconds >= MIRROR_SECONDS_MIN.max(u64::from(days) * SECONDS_A_DAY)
}

/// The policy's words on images.
pub fn image_rule(policy: &Policy) -> String {
    format!(
        "Kept: what is live, rolls out or waits for that; the newest {} releases of each environment; the newest build of \
         each branch that is there; and everything for {} days. Of the caches the newest one of each application.",
        policy.releases, policy.image_days
    )
}

/// The policy's words on mirrors.
pub fn mirror_rule(policy: &Policy) -> String {
    format!(
        "Kept: those of applications of which something was built in the last {} days.",
        policy.mirror_days
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy { releases: 3, image_days: 7, mirror_days: 30 };
    const OLD: ImageFacts = ImageFacts {
        age_seconds: 8 * SECONDS_A_DAY,
        is_in_use: false,
        rank: Some(4),
        is_newest_of_branch: false,
    };

    #[test]
    fn an_image_is_kept_for_any_one_reason() {
        assert!(is_image_garbage(&POLICY, &OLD));
        assert!(is_image_garbage(&POLICY, &ImageFacts { rank: None, ..OLD }), "its environment is gone");
        assert!(is_image_garbage(&POLICY, &ImageFacts { age_seconds: 7 * SECONDS_A_DAY, ..OLD }));
        for kept in [
            ImageFacts { is_in_use: true, ..OLD },
            ImageFacts { is_newest_of_branch: true, ..OLD },
            ImageFacts { rank: Some(3), ..OLD },
            ImageFacts { age_seconds: 7 * SECONDS_A_DAY - 1, ..OLD },
        ] {
            assert!(!is_image_garbage(&POLICY, &kept), "{kept:?}");
        }
    }

    #[test]
    fn no_policy_takes_what_is_in_use() {
        let none = Policy { releases: 0, image_days: 0, mirror_days: 0 };
        for bits in 0..16_u32 {
            let facts = ImageFacts {
                age_seconds: if bits & 1 == 0 { 0 } else { u64::MAX },
                rank: (bits & 2 == 0).then_some(u32::MAX),
                is_in_use: bits & 4 == 0,
                is_newest_of_branch: bits & 8 == 0,
            };
            assert_eq!(is_image_garbage(&none, &facts), bits & 12 == 12, "{facts:?}");
        }
        let used = MirrorFacts { idle_seconds: MIRROR_SECONDS_MIN - 1, has_app: false };
        assert!(!is_mirror_garbage(&none, &used));
    }

    #[test]
    fn a_mirror_goes_when_nothing_is_built_of_it() {
        let mirror = |idle_seconds, has_app| MirrorFacts { idle_seconds, has_app };
        assert!(!is_mirror_garbage(&POLICY, &mirror(30 * SECONDS_A_DAY - 1, true)));
        assert!(is_mirror_garbage(&POLICY, &mirror(30 * SECONDS_A_DAY, true)));
        assert!(is_mirror_garbage(&POLICY, &mirror(MIRROR_SECONDS_MIN, false)));
    }

    #[test]
    fn the_rules_name_the_numbers() {
        assert!(image_rule(&POLICY).contains("newest 3 releases") && image_rule(&POLICY).contains("7 days"));
        assert!(mirror_rule(&POLICY).contains("30 days"));
    }
}

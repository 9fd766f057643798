//! Names of git refs: which of them are branches that git itself would take.

const HEADS: &str = "refs/heads/";
const TAGS: &str = "refs/tags/";
/// Longer ones do not fit a file name on the forge's disk.
const NAME_MAX: usize = 255;

/// The branch that a full ref names; `None` for tags, notes and names that git would refuse.
pub(crate) fn branch(git_ref: &str) -> Option<&str> {
    git_ref.strip_prefix(HEADS).filter(|name| is_name(name))
}

/// The tag that a full ref names.
pub(crate) fn tag(git_ref: &str) -> Option<&str> {
    git_ref.strip_prefix(TAGS)
}

/// Forges name the ref of `create` and `delete` events shortly, and its type beside it.
pub(crate) fn full(ref_type: &str, short: &str) -> Option<String> {
    match ref_type {
        _ if !is_name(short) => None,
        "branch" => Some(format!("{HEADS}{short}")),
        "tag" => Some(format!("{TAGS}{short}")),
        _ => None,
    }
}

/// The rules of `git check-ref-format --branch`.
fn is_name(name: &str) -> bool {
    let char_fits = |c: char| !c.is_control() && !" ~^:?*[\\".contains(c);
    let part_fits = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    (1..=NAME_MAX).contains(&name.len())
        && name.chars().all(char_fits)
        && name.split('/').all(part_fits)
        && !name.contains("..")
        && !name.contains("@{")
        && !name.starts_with('-')
        && !name.ends_with('.')
        && name != "@"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_are_what_git_takes() {
        for good in ["main", "feature/login", "a@b", "v1.0", "naïve", "x.lock.y"] {
            assert_eq!(branch(&format!("refs/heads/{good}")), Some(good));
        }
        let bad = [
            "", "a b", "-x", "a..b", "a//b", "/a", "a/", ".a", "a/.b", "a.lock", "a.lock/b", "a.", "@",
            "a@{1}", "a\\b", "a~1", "a^", "a:b", "a\0b", "a\nb", "*", "a?", "a[",
        ];
        for bad in bad {
            assert_eq!(branch(&format!("refs/heads/{bad}")), None, "{bad:?}");
        }
        assert_eq!(branch("refs/tags/v1"), None);
        assert_eq!(branch("main"), None);
    }

    #[test]
    fn short_names_become_full_ones() {
        assert_eq!(full("branch", "feature/login").as_deref(), Some("refs/heads/feature/login"));
        assert_eq!(full("tag", "v1.0").as_deref(), Some("refs/tags/v1.0"));
        assert_eq!(full("wiki", "home"), None);
    }
}

//! Names of applications and environments, and the host names and namespaces made of them.

/// The environment of the default branch.
pub const MAIN: &str = "main";
/// A label of a host name is at most this long (RFC 1035).
const LABEL_MAX: usize = 63;
/// Leaves room in one label for `<env>--<app>` with an environment name of at least 20.
const APP_MAX: usize = 40;
const ENV_MAX: usize = 40;
/// Separates the two names in a host label; neither name may hold it.
const SEPARATOR: &str = "--";

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    #[error("the name is empty")]
    Empty,
    #[error("the name is longer than {APP_MAX} characters")]
    TooLong,
    #[error(
        "a name holds only a-z, 0-9 and single hyphens, and starts with a letter and ends with a letter or digit"
    )]
    Shape,
    #[error("a name holds only a-z, 0-9 and single hyphens, and starts and ends with a letter or digit")]
    EnvironmentShape,
}

/// Checks the name of an application: it becomes part of a host name and of a namespace.
pub fn check_app(name: &str) -> Result<(), BadName> {
    check_length(name, APP_MAX)?;
    let shape = is_slug(name) && name.starts_with(|c: char| c.is_ascii_lowercase());
    if shape { Ok(()) } else { Err(BadName::Shape) }
}

/// Checks the name of an environment that somebody chose: it becomes the same parts.
pub fn check_environment(name: &str) -> Result<(), BadName> {
    check_length(name, ENV_MAX)?;
    if is_slug(name) { Ok(()) } else { Err(BadName::EnvironmentShape) }
}

fn check_length(name: &str, max: usize) -> Result<(), BadName> {
    match name.len() {
        0 => Err(BadName::Empty),
        length if length > max => Err(BadName::TooLong),
        _ => Ok(()),
    }
}

fn is_slug(name: &str) -> bool {
    name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains(SEPARATOR)
}

/// The environment that a branch pushed to Slipway's own remote runs in: `main` and `master` mean the main one, whatever
/// the default branch is, since the first push of an application decides what that is called.
pub fn environment_of_push(branch: &str, default_branch: &str) -> String {
    match branch {
        MAIN | "master" => MAIN.to_owned(),
        _ => environment(branch, default_branch),
    }
}

/// The environment that a branch runs in: `main` for the default branch, else a slug of the branch's name.
/// A slug that lost something gets a short hash of the name, so that two branches never share one.
pub fn environment(branch: &str, default_branch: &str) -> String {
    if branch == default_branch {
        return MAIN.to_owned();
    }
    let slug = slug(branch);
    if slug == branch && slug != MAIN && slug.len() <= ENV_MAX {
        return slug;
    }
    let kept: String = slug.chars().take(ENV_MAX - 8).collect();
    let kept = kept.trim_matches('-');
    let kept = if kept.is_empty() { "b" } else { kept };
    format!("{kept}-{:07x}", hash(branch) & 0xfff_ffff)
}

/// The host name of an environment under the base domain, which may carry a port.
pub fn host(env: &str, app: &str, base_domain: &str) -> String {
    format!("{}.{base_domain}", label(env, app))
}

/// The first label of an environment's host name.
pub fn label(env: &str, app: &str) -> String {
    clip(&format!("{env}{SEPARATOR}{app}"), LABEL_MAX)
}

/// The namespace of an environment.
pub fn namespace(env: &str, app: &str) -> String {
    clip(&format!("env-{app}{SEPARATOR}{env}"), LABEL_MAX)
}

/// Cuts to `max` bytes; what is cut is replaced by a hash of the whole.
fn clip(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let kept: String = text.chars().take(max - 8).collect();
    format!("{}-{:07x}", kept.trim_end_matches('-'), hash(text) & 0xfff_ffff)
}

fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars() {
        match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9') => slug.push(c),
            _ if slug.is_empty() || slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
    }
    slug.trim_end_matches('-').to_owned()
}

/// FNV-1a: stable over versions and machines, which std's hasher does not promise.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_applications() {
        for good in ["demo", "a", "shop-api2"] {
            assert_eq!(check_app(good), Ok(()), "{good}");
        }
        for bad in ["", "Demo", "a--b", "-a", "a-", "1a", "a.b", "a_b", &"x".repeat(41)] {
            assert!(check_app(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn environments_of_branches() {
        assert_eq!(environment("master", "master"), "main");
        assert_eq!(environment("staging", "main"), "staging");
        assert!(environment("feature/login", "main").starts_with("feature-login-"));
        assert_ne!(environment("feature/login", "main"), environment("feature-login", "main"));
        assert_ne!(environment("main", "trunk"), "main", "a branch called main is not the default one here");
    }

    #[test]
    fn names_of_environments() {
        for good in ["main", "a", "2fast", "feature-login", "1"] {
            assert_eq!(check_environment(good), Ok(()), "{good}");
        }
        for bad in ["", "Main", "a--b", "-a", "a-", "a.b", "a_b", "a/b", "é", &"x".repeat(41)] {
            assert!(check_environment(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn environments_of_pushed_branches() {
        for (branch, default) in [("main", "main"), ("master", "main"), ("main", "trunk"), ("trunk", "trunk")]
        {
            assert_eq!(environment_of_push(branch, default), "main", "{branch}");
        }
        assert_eq!(environment_of_push("staging", "main"), "staging");
        assert_ne!(environment_of_push("Main", "trunk"), "main");
    }

    #[test]
    fn hosts_and_namespaces() {
        assert_eq!(host("main", "demo", "slipway.localhost:8080"), "main--demo.slipway.localhost:8080");
        assert_eq!(namespace("main", "demo"), "env-demo--main");
    }

    proptest! {
        #[test]
        fn any_branch_makes_a_valid_label(branch in "\\PC{1,80}", app in "[a-z][a-z0-9]{0,39}") {
            let env = environment(&branch, "main");
            for label in [label(&env, &app), namespace(&env, &app)] {
                prop_assert!(label.len() <= LABEL_MAX);
                prop_assert!(label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
                prop_assert!(!label.starts_with('-') && !label.ends_with('-'));
            }
            prop_assert_eq!(check_environment(&env), Ok(()));
        }
    }
}

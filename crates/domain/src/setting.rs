//! What an application's builds are given, and what it may be called: secrets that are mounted, arguments of the Dockerfile.

use crate::word::word_enum;

word_enum! {
    SettingKind {
        /// A secret that a step mounts; its name is the id of the mount.
        Secret = "secret",
        /// An `ARG` of the Dockerfile. It stays readable in the image.
        Argument = "argument",
    }
}

/// BuildKit takes no larger secret.
pub const SECRET_MAX: usize = 500 << 10;
pub const ARGUMENT_MAX: usize = 4 << 10;
const NAME_MAX: usize = 128;
/// With arguments of these names BuildKit itself is steered, across the borders between applications.
const KEPT_PREFIX: &str = "BUILDKIT_";

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSetting {
    #[error(
        "the name of a secret has 1 to {NAME_MAX} letters, digits and _ - . and begins with a letter, a digit or _"
    )]
    SecretName,
    #[error(
        "the name of an argument has 1 to {NAME_MAX} letters, digits and _ and does not begin with a digit"
    )]
    ArgumentName,
    #[error("names that begin with {KEPT_PREFIX} are kept for Slipway itself")]
    KeptName,
    #[error("an argument has at most {ARGUMENT_MAX} bytes")]
    ArgumentTooLong,
    #[error("an argument is one line of text without control characters")]
    ArgumentText,
}

/// Checks the name of a secret: an id as a Dockerfile's `--mount=type=secret,id=` writes it, or an environment variable's.
pub fn check_secret_name(name: &str) -> Result<(), BadSetting> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    if begins && name.len() <= NAME_MAX && name.bytes().all(fits) {
        Ok(())
    } else {
        Err(BadSetting::SecretName)
    }
}

/// Checks the name of an argument: a variable's.
pub fn check_argument_name(name: &str) -> Result<(), BadSetting> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !begins || name.len() > NAME_MAX || !name.bytes().all(fits) {
        return Err(BadSetting::ArgumentName);
    }
    if name.to_ascii_uppercase().starts_with(KEPT_PREFIX) { Err(BadSetting::KeptName) } else { Ok(()) }
}

/// Checks the value of an argument, which is shown where steps are named.
pub fn check_argument(value: &str) -> Result<(), BadSetting> {
    if value.len() > ARGUMENT_MAX {
        return Err(BadSetting::ArgumentTooLong);
    }
    if value.chars().any(char::is_control) { Err(BadSetting::ArgumentText) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets() {
        for good in ["TOKEN", "npmrc", "GIT_AUTH_TOKEN.forge.example", "my-token", "0", "_", &"x".repeat(128)]
        {
            assert_eq!(check_secret_name(good), Ok(()), "{good}");
        }
        for bad in
            ["", ".npmrc", "-x", "a b", "a/b", "../x", "a=b", "a,b", "t\u{e4}", "a\n", &"x".repeat(129)]
        {
            assert_eq!(check_secret_name(bad), Err(BadSetting::SecretName), "{bad:?}");
        }
    }

    #[test]
    fn names_of_arguments() {
        for good in ["VERSION", "node_env", "_", "SOURCE_DATE_EPOCH"] {
            assert_eq!(check_argument_name(good), Ok(()), "{good}");
        }
        for bad in ["", "1A", "A-B", "A.B", "A=B", "A:B", &"x".repeat(129)] {
            assert_eq!(check_argument_name(bad), Err(BadSetting::ArgumentName), "{bad:?}");
        }
        for kept in ["BUILDKIT_CACHE_MOUNT_NS", "BUILDKIT_SYNTAX", "Buildkit_x"] {
            assert_eq!(check_argument_name(kept), Err(BadSetting::KeptName), "{kept}");
        }
    }

    #[test]
    fn values_of_arguments() {
        for good in ["", "1.2", "a b \u{e4}", &"x".repeat(ARGUMENT_MAX)] {
            assert_eq!(check_argument(good), Ok(()));
        }
        assert_eq!(check_argument(&"x".repeat(ARGUMENT_MAX + 1)), Err(BadSetting::ArgumentTooLong));
        for bad in ["a\nb", "a\0", "\u{1b}[1m", "a\tb"] {
            assert_eq!(check_argument(bad), Err(BadSetting::ArgumentText), "{bad:?}");
        }
    }
}

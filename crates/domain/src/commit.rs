//! Commit ids as forges and git write them.

use std::fmt;

/// A full commit id: 40 (SHA-1) or 64 (SHA-256) lower-case hex digits, not all zero.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Commit(String);

#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a commit id: expected 40 or 64 lower-case hex digits, not all zero")]
pub struct NotACommit(String);

impl Commit {
    pub fn parse(text: &str) -> Result<Commit, NotACommit> {
        let hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if matches!(text.len(), 40 | 64) && hex && !is_null(text) {
            Ok(Commit(text.to_owned()))
        } else {
            Err(NotACommit(text.chars().take(80).collect()))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first eight digits, for people.
    pub fn short(&self) -> &str {
        short(&self.0)
    }
}

/// The first eight digits of a commit id.
pub fn short(commit: &str) -> &str {
    commit.get(..8).unwrap_or(commit)
}

/// Forges write "there is no commit" as zeros.
pub fn is_null(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b == b'0')
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Commit {
    type Error = NotACommit;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Commit::parse(&text)
    }
}

impl From<Commit> for String {
    fn from(commit: Commit) -> String {
        commit.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_full_ids_are_commits() {
        assert!(Commit::parse(&"a1".repeat(20)).is_ok());
        assert!(Commit::parse(&"a1".repeat(32)).is_ok());
        for bad in ["", "abc", &"0".repeat(40), &"A1".repeat(20), &"g1".repeat(20)] {
            assert!(Commit::parse(bad).is_err(), "{bad}");
        }
    }
}

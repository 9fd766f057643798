//! What a user was told of a push: read from git's exit code and from what it wrote. Pure.

/// What Slipway says of a build or a release that has not become live, or that nobody watches any longer.
const ENDINGS: [&str; 4] = [" failed", " was superseded", " was cancelled", " goes on"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Exit code 0.
    Well,
    /// There is a build, and this became of it.
    Verdict(String),
    /// Nothing that a user could rely on: the push has to be tried again.
    Nothing(String),
}

impl Told {
    pub fn is_acknowledged(&self) -> bool {
        matches!(self, Told::Well | Told::Verdict(_))
    }
}

pub fn told(success: bool, stderr: &str) -> Told {
    if success {
        return Told::Well;
    }
    let rejected = stderr.lines().find(|line| line.contains("[remote rejected]"));
    let why = rejected.and_then(|line| line.split_once('(')?.1.strip_suffix(')'));
    match why {
        Some(why) if is_verdict(why) => Told::Verdict(why.to_owned()),
        _ => Told::Nothing(why.unwrap_or(stderr).trim().to_owned()),
    }
}

fn is_verdict(why: &str) -> bool {
    let subject = why.strip_prefix("detached: ").unwrap_or(why);
    let number = subject.strip_prefix("build #").or_else(|| subject.strip_prefix("release v"));
    let Some(number) = number else { return false };
    let after = number.trim_start_matches(|c: char| c.is_ascii_digit());
    after.len() < number.len() && ENDINGS.iter().any(|ending| after.starts_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(why: &str) -> Told {
        told(
            false,
            &format!(
                "remote: -----> x\nTo http://x/a.git\n ! [remote rejected] main -> main ({why})\nerror: failed"
            ),
        )
    }

    #[test]
    fn a_verdict_is_an_acknowledgement() {
        assert_eq!(told(true, "Everything up-to-date"), Told::Well);
        for why in [
            "build #7 failed: exit code 1 (see below)",
            "release v3 failed: it never answered",
            "build #7 was superseded by #8",
            "detached: build #7 goes on; push again to re-attach",
        ] {
            assert_eq!(rejected(why), Told::Verdict(why.to_owned()));
        }
    }

    #[test]
    fn anything_else_is_none() {
        for why in [
            "build #41 of 1a2b3c4 by bob is still running; wait for it, or push with -o supersede",
            "unable to migrate objects to permanent storage",
            "the push was given up; push again",
            "build #",
        ] {
            assert_eq!(rejected(why), Told::Nothing(why.to_owned()));
        }
        let cut = "send-pack: unexpected disconnect while reading sideband packet\nEverything up-to-date";
        assert_eq!(told(false, cut), Told::Nothing(cut.to_owned()));
    }
}

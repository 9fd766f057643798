//! What a push may ask for: the words after `git push -o`.

use crate::name::{self, BadName};
use crate::word::word_enum;

const DAY: u64 = 24 * 60 * 60;
const TTL_MIN: u64 = 60;
const TTL_MAX: u64 = 90 * DAY;
/// So much of a word that nobody knows is repeated to who wrote it, and so many of them.
const ECHO_MAX: usize = 40;
const ECHOES_MAX: usize = 5;
const KNOWN: &str = "env=NAME, no-cache, wait=live|built|queued, ttl=TIME, supersede";

word_enum! {
    /// What a push waits for before it ends.
    #[derive(Default)]
    Wait {
        #[default]
        Live = "live",
        Built = "built",
        Queued = "queued",
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct PushOptions {
    /// Instead of the one that the branch runs in.
    pub environment: Option<String>,
    pub no_cache: bool,
    pub wait: Wait,
    /// So long after the push its environment may be removed.
    pub ttl_seconds: Option<u64>,
    /// Takes the place of whatever build of the branch runs.
    pub supersede: bool,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPushOption {
    #[error("unknown push option {0}; those that exist are {KNOWN}")]
    Unknown(String),
    #[error("the push option {0} is given twice")]
    Twice(&'static str),
    #[error("the push option {option} needs a value: -o {example}")]
    NeedsValue { option: &'static str, example: &'static str },
    #[error("the push option {0} takes no value: -o {0}")]
    TakesNoValue(&'static str),
    #[error("the environment of -o env={name} cannot be: {why}")]
    Environment { name: String, why: BadName },
    #[error("-o wait={0} is not known: a push waits until it is live, built or queued")]
    Wait(String),
    #[error(
        "-o ttl={0} is no time from 60 seconds to 90 days: write a number and s, m, h or d, like -o ttl=2d"
    )]
    Ttl(String),
}

/// Reads the options of one push. Each may be given once, and one that nobody knows refuses the push.
pub fn parse<S: AsRef<str>>(options: &[S]) -> Result<PushOptions, BadPushOption> {
    let mut parsed = PushOptions::default();
    let mut seen: Vec<&'static str> = Vec::new();
    let mut unknown: Vec<&str> = Vec::new();
    for option in options {
        let option = option.as_ref();
        let (word, value) = match option.split_once('=') {
            Some((word, value)) => (word, Some(value)),
            None => (option, None),
        };
        let Some(word) = known(word) else {
            unknown.push(option);
            continue;
        };
        if seen.contains(&word) {
            return Err(BadPushOption::Twice(word));
        }
        seen.push(word);
        set(&mut parsed, word, value)?;
    }
    if unknown.is_empty() { Ok(parsed) } else { Err(BadPushOption::Unknown(list(&unknown))) }
}

fn known(word: &str) -> Option<&'static str> {
    ["env", "no-cache", "wait", "ttl", "supersede"].into_iter().find(|it| *it == word)
}

fn set(parsed: &mut PushOptions, word: &'static str, value: Option<&str>) -> Result<(), BadPushOption> {
    let needed =
        |example| value.filter(|v| !v.is_empty()).ok_or(BadPushOption::NeedsValue { option: word, example });
    match word {
        "env" => {
            let name = needed("env=NAME, like -o env=staging")?;
            name::check_environment(name)
                .map_err(|why| BadPushOption::Environment { name: echo(name), why })?;
            parsed.environment = Some(name.to_owned());
        }
        "wait" => {
            let wait = needed("wait=live, wait=built or wait=queued")?;
            parsed.wait = wait.parse().map_err(|_| BadPushOption::Wait(echo(wait)))?;
        }
        "ttl" => {
            let text = needed("ttl=TIME, like -o ttl=2d")?;
            parsed.ttl_seconds = Some(seconds(text).ok_or_else(|| BadPushOption::Ttl(echo(text)))?);
        }
        _ if value.is_some() => return Err(BadPushOption::TakesNoValue(word)),
        "no-cache" => parsed.no_cache = true,
        _ => parsed.supersede = true,
    }
    Ok(())
}

fn seconds(text: &str) -> Option<u64> {
    let unit = match text.chars().next_back()? {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => DAY,
        _ => return None,
    };
    let number = &text[..text.len() - 1];
    let digits = number.bytes().all(|b| b.is_ascii_digit());
    let seconds = number.parse::<u64>().ok().filter(|_| digits)?.checked_mul(unit)?;
    (TTL_MIN..=TTL_MAX).contains(&seconds).then_some(seconds)
}

fn list(unknown: &[&str]) -> String {
    let mut list =
        unknown.iter().take(ECHOES_MAX).map(|it| format!("`{}`", echo(it))).collect::<Vec<_>>().join(", ");
    if unknown.len() > ECHOES_MAX {
        list.push_str(&format!(" and {} more", unknown.len() - ECHOES_MAX));
    }
    list
}

/// What somebody wrote, short and without anything that a terminal would act upon.
fn echo(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    match clean.char_indices().nth(ECHO_MAX) {
        Some((end, _)) => format!("{}…", &clean[..end]),
        None => clean,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(options: &[&str]) -> String {
        parse(options).unwrap_err().to_string()
    }

    #[test]
    fn each_option_is_read() {
        assert_eq!(parse::<&str>(&[]), Ok(PushOptions::default()));
        let all = parse(&["env=staging-2", "no-cache", "wait=built", "ttl=12h", "supersede"]).unwrap();
        let expected = PushOptions {
            environment: Some("staging-2".to_owned()),
            no_cache: true,
            wait: Wait::Built,
            ttl_seconds: Some(43_200),
            supersede: true,
        };
        assert_eq!(all, expected);
    }

    #[test]
    fn unknown_options_are_named_together_with_those_that_exist() {
        let text = refusal(&["ci.skip", "no-cache", "Wait=live"]);
        assert_eq!(
            text,
            "unknown push option `ci.skip`, `Wait=live`; those that exist are env=NAME, no-cache, \
             wait=live|built|queued, ttl=TIME, supersede"
        );
        let many: Vec<String> = (0..100).map(|n| format!("{n}{}", "x\u{1b}\n".repeat(1000))).collect();
        let text = parse(&many).unwrap_err().to_string();
        assert!(
            text.contains("and 95 more") && text.len() < 500 && !text.contains(char::is_control),
            "{text}"
        );
    }

    #[test]
    fn an_option_is_given_once() {
        assert_eq!(refusal(&["env=a", "env=a"]), "the push option env is given twice");
        assert_eq!(
            refusal(&["supersede", "no-cache", "supersede"]),
            "the push option supersede is given twice"
        );
    }

    #[test]
    fn values_are_where_they_belong() {
        for option in ["env", "env=", "wait", "wait=", "ttl", "ttl="] {
            assert!(refusal(&[option]).contains("needs a value: -o "), "{option}");
        }
        assert_eq!(refusal(&["env"]), "the push option env needs a value: -o env=NAME, like -o env=staging");
        assert_eq!(refusal(&["no-cache="]), "the push option no-cache takes no value: -o no-cache");
        assert_eq!(refusal(&["supersede=1"]), "the push option supersede takes no value: -o supersede");
        assert!(refusal(&["wait=done"]).contains("until it is live, built or queued"));
    }

    #[test]
    fn environments_have_the_grammar_of_their_names() {
        for bad in ["Main", "a--b", "-a", "a-", "a/b", "a_b", "$(id)", "é", &"x".repeat(41)] {
            let text = refusal(&[&format!("env={bad}")]);
            assert!(text.starts_with("the environment of -o env="), "{bad}: {text}");
        }
        assert_eq!(parse(&["env=2fast"]).unwrap().environment.as_deref(), Some("2fast"));
    }

    #[test]
    fn times_are_bounded() {
        for (text, seconds) in [("60s", 60), ("90s", 90), ("30m", 1800), ("12h", 43_200), ("90d", TTL_MAX)] {
            assert_eq!(parse(&[format!("ttl={text}")]).unwrap().ttl_seconds, Some(seconds), "{text}");
        }
        let bad = [
            "59s",
            "0d",
            "91d",
            "2",
            "d",
            "2w",
            "2 d",
            "-2d",
            "+2d",
            "1.5h",
            "2D",
            "2é",
            "99999999999999999999d",
        ];
        for bad in bad {
            assert!(refusal(&[&format!("ttl={bad}")]).contains("from 60 seconds to 90 days"), "{bad}");
        }
    }

    #[test]
    fn an_empty_option_is_unknown() {
        assert!(refusal(&[""]).starts_with("unknown push option ``;"));
    }
}

//! Compares what a user reads with what is expected, word by word: `*` stands for what differs from run to run, and a
//! line of three dots for any lines.

const ANY_LINES: &str = "...";

/// # Panics
/// When the lines are not these: then both are shown.
pub fn assert_lines<L: AsRef<str>, P: AsRef<str>>(lines: &[L], patterns: &[P]) {
    let lines: Vec<&str> = lines.iter().map(AsRef::as_ref).collect();
    let patterns: Vec<&str> = patterns.iter().map(AsRef::as_ref).collect();
    let (read, expected) = (lines.join("\n"), patterns.join("\n"));
    assert!(all_fit(&patterns, &lines), "read:\n{read}\n\nexpected:\n{expected}");
}

fn all_fit(patterns: &[&str], lines: &[&str]) -> bool {
    match patterns.split_first() {
        None => lines.is_empty(),
        Some((&ANY_LINES, rest)) => (0..=lines.len()).any(|from| all_fit(rest, &lines[from..])),
        Some((pattern, rest)) => {
            lines.split_first().is_some_and(|(line, others)| fits(pattern, line) && all_fit(rest, others))
        }
    }
}

/// Whether `text` is `pattern` with something in the place of each `*`.
pub fn fits(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        let Some((_, behind)) = text.split_once(part) else { return false };
        text = behind;
    }
    text.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_anything() {
        for (pattern, text) in [
            ("a", "a"),
            ("*", ""),
            ("a*c", "abc"),
            ("a*c", "ac"),
            ("*b*", "abc"),
            ("in * s; * of *", "in 1.2 s; 3 of 4"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a", "ab"), ("a*c", "abcd"), ("a*b*c", "ac"), ("ab*ba", "aba"), ("", "a")] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn three_dots_are_any_lines() {
        let lines = ["first", "a 1", "b", "a 2", "last"];
        for patterns in [
            &["..."][..],
            &["first", "...", "last"],
            &["...", "a *", "last"],
            &["first", "a 1", "...", "b", "...", "a 2", "last", "..."],
        ] {
            assert_lines(&lines, patterns);
        }
        for patterns in [&["first", "last"][..], &["...", "last", "first"], &["...", "a *"], &[]] {
            assert!(!all_fit(patterns, &lines), "{patterns:?}");
        }
    }
}

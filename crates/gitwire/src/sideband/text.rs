//! Makes any line of a log fit to be shown in somebody's terminal.
//!
//! Git since 2.55 masks control characters other than tabs and colours, older ones pass all of them on, and all of them
//! take `\r` for the end of a line and stop at NUL.

const LENGTH_MAX: usize = 2000;
const ESCAPE: char = '\u{1b}';
const RESET: &str = "\u{1b}[0m";

enum Piece<'a> {
    Char(char),
    /// `ESC [ 1;31 m` as git lets it pass: digits and semicolons.
    Color(&'a str),
    Dropped,
}

/// Keeps text, tabs and colours of one line, and of a progress that wrote over itself only what it showed last.
/// Too long a line is cut. Colours end with their line, so that none runs into what is shown next.
pub fn sanitize(line: &str) -> String {
    line.split('\r').rev().map(clean).find(|state| is_visible(state)).unwrap_or_default()
}

fn clean(state: &str) -> String {
    let (mut kept, mut length, mut is_colored) = (String::new(), 0, false);
    let mut rest = state;
    while let Some((piece, behind)) = next(rest) {
        let text = match piece {
            Piece::Char(_) | Piece::Color(_) => &rest[..rest.len() - behind.len()],
            Piece::Dropped => "",
        };
        length += text.chars().count();
        if length > LENGTH_MAX {
            kept.push_str(" …");
            break;
        }
        kept.push_str(text);
        if let Piece::Color(codes) = piece {
            is_colored = !codes.bytes().all(|b| b == b'0');
        }
        rest = behind;
    }
    if is_colored {
        kept.push_str(RESET);
    }
    kept
}

fn is_visible(cleaned: &str) -> bool {
    let mut rest = cleaned;
    while let Some((piece, behind)) = next(rest) {
        if matches!(piece, Piece::Char(c) if !c.is_whitespace()) {
            return true;
        }
        rest = behind;
    }
    false
}

/// The first piece and what follows it.
fn next(text: &str) -> Option<(Piece<'_>, &str)> {
    let mut chars = text.chars();
    let first = chars.next()?;
    let rest = chars.as_str();
    Some(match first {
        ESCAPE => escape(rest),
        // The same sequences, opened by one character of C1: no colour is written so.
        '\u{9b}' => (Piece::Dropped, control_sequence(rest).1),
        '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => (Piece::Dropped, behind_string(rest)),
        c if c != '\t' && c.is_control() => (Piece::Dropped, rest),
        c => (Piece::Char(c), rest),
    })
}

fn escape(text: &str) -> (Piece<'_>, &str) {
    let mut chars = text.chars();
    match chars.next() {
        Some('[') => {
            let (sequence, rest) = control_sequence(chars.as_str());
            match sequence.and_then(color) {
                Some(codes) => (Piece::Color(codes), rest),
                None => (Piece::Dropped, rest),
            }
        }
        // Titles, links, the clipboard: strings for the terminal, not for who reads it.
        Some(']' | 'P' | 'X' | '^' | '_') => (Piece::Dropped, behind_string(chars.as_str())),
        // Character sets and such: intermediate characters and a final one.
        Some(_) => {
            let rest = text.trim_start_matches(is_intermediate);
            (Piece::Dropped, rest.strip_prefix(|c| matches!(c, '0'..='~')).unwrap_or(rest))
        }
        None => (Piece::Dropped, ""),
    }
}

/// What follows `ESC [` up to its final character, when it has one, and what is behind it.
fn control_sequence(text: &str) -> (Option<&str>, &str) {
    let parameters = |c| matches!(c, '0'..='?');
    let rest = text.trim_start_matches(parameters).trim_start_matches(is_intermediate);
    match rest.strip_prefix(|c| matches!(c, '@'..='~')) {
        Some(behind) => (Some(&text[..text.len() - behind.len()]), behind),
        None => (None, rest),
    }
}

fn color(sequence: &str) -> Option<&str> {
    let codes = sequence.strip_suffix('m')?;
    codes.bytes().all(|b| b.is_ascii_digit() || b == b';').then_some(codes)
}

/// Behind the string's terminator: BEL, `ESC \` or its form in C1. One without an end takes all that is left.
fn behind_string(text: &str) -> &str {
    let ends = |(at, c): (usize, char)| match c {
        '\u{7}' | '\u{9c}' => Some(&text[at + c.len_utf8()..]),
        ESCAPE => text[at + 1..].strip_prefix('\\'),
        _ => None,
    };
    text.char_indices().find_map(ends).unwrap_or("")
}

const fn is_intermediate(c: char) -> bool {
    matches!(c, ' '..='/')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_tabs_and_colors_are_kept() {
        for line in [
            "",
            "plain",
            "\ta\tb",
            "é 漢 🦀",
            "\u{1b}[1;31mred\u{1b}[0m",
            "a\u{1b}[mb",
            "[31m",
            "a\u{1b}[00mb",
        ] {
            assert_eq!(sanitize(line), line);
        }
        assert_eq!(
            sanitize("\u{1b}[38;5;0mdark"),
            "\u{1b}[38;5;0mdark\u{1b}[0m",
            "a colour ends with its line"
        );
    }

    #[test]
    fn whatever_else_a_terminal_would_act_upon_is_dropped() {
        let lines = [
            ("a\0b\u{1}\u{8}\u{b}\u{c}\u{7f}c\n", "abc"),
            ("a\u{80}\u{85}\u{9c}b", "ab"),
            ("\u{1b}[1G\u{1b}[Ka", "a"),
            ("\u{1b}[2J\u{1b}[?25l\u{1b}[10;20Ha\u{1b}[?1049h", "a"),
            ("\u{1b}[38:2:1:2:3ma\u{1b}[>4mb\u{1b}[0 mc", "abc"),
            ("\u{9b}31ma\u{9b}2Jb", "ab"),
            ("\u{1b}]0;title\u{7}a", "a"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\!", "link!"),
            ("\u{1b}]52;c;aGk=\u{9c}a\u{9d}0;t\u{7}b", "ab"),
            ("\u{1b}]0;a\u{1b}[31mb\u{7}c", "c"),
            ("a\u{1b}]0;without an end", "a"),
            ("\u{1b}P1$r\u{1b}\\a\u{1b}_x\u{1b}\\b\u{1b}^y\u{1b}\\c\u{1b}Xz\u{1b}\\d", "abcd"),
            ("\u{1b}(Ba\u{1b}[m\u{1b}7\u{1b}8\u{1b}c\u{1b}#8b", "a\u{1b}[mb"),
            ("a\u{1b}", "a"),
            ("a\u{1b}[", "a"),
            ("a\u{1b}[31", "a"),
            ("a\u{1b}[31é", "aé"),
            ("a\u{1b}éb", "aéb"),
            ("\u{1b}\u{1b}[31ma\u{1b}[0m", "\u{1b}[31ma\u{1b}[0m"),
            // Dropping must not put a new sequence together.
            ("\u{1b}\u{0}[31ma", "[31ma"),
            ("\u{1b}\u{1b}[0G[2Ja", "[2Ja"),
        ];
        for (line, clean) in lines {
            assert_eq!(sanitize(line), clean, "{line:?}");
        }
    }

    #[test]
    fn progress_shows_its_last_state() {
        let lines = [
            ("10%\r50%\r100%", "100%"),
            ("10%\r100%\r", "100%"),
            ("windows\r\n", "windows"),
            ("100%\r\u{1b}[K", "100%"),
            ("100%\r   \r\u{1b}[0m", "100%"),
            ("\r\r", ""),
            ("\u{1b}]0;x\ra", "a"),
        ];
        for (line, state) in lines {
            assert_eq!(sanitize(line), state, "{line:?}");
        }
    }

    #[test]
    fn long_lines_are_cut() {
        let fits = "é".repeat(LENGTH_MAX);
        assert_eq!(sanitize(&fits), fits);
        assert_eq!(sanitize(&format!("{fits}x")), format!("{fits} …"));
        let colored = format!("\u{1b}[31m{fits}\u{1b}[0m");
        assert_eq!(sanitize(&colored), format!("\u{1b}[31m{} …\u{1b}[0m", "é".repeat(LENGTH_MAX - 5)));
        let huge = format!("a{}", "\u{1b}[31m".repeat(1_000_000));
        assert!(sanitize(&huge).len() < 2 * LENGTH_MAX);
    }

    proptest! {
        #[test]
        fn what_is_clean_stays_as_it_is(line in "([\\PC\t]|\r|[\u{0}-\u{1f}]|\u{1b}|\u{1b}\\[[0-9;:?]{0,3}[a-zA-Z]|\u{1b}\\]|\u{9b}|\u{7}){0,40}") {
            let clean = sanitize(&line);
            prop_assert_eq!(&sanitize(&clean), &clean);
            let mut rest = clean.as_str();
            while let Some((piece, behind)) = next(rest) {
                prop_assert!(!matches!(piece, Piece::Dropped), "{:?}", clean);
                rest = behind;
            }
        }
    }
}

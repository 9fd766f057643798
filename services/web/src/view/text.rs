//! Durations, moments, sizes and log lines as people read them.

use std::fmt::Display;

use store::Time;

/// `340 ms`, `4.2 s`, `3 m 05 s`, `1 h 02 m`; nothing when there is none.
pub(crate) fn duration(ms: &Option<u64>) -> String {
    let Some(ms) = *ms else { return String::new() };
    let seconds = ms / 1000;
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{seconds}.{} s", ms % 1000 / 100),
        60_000..3_600_000 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `2026-11-21 09:45:40Z`: readable without a script, which shows it as an age.
pub(crate) fn moment(time: &Time) -> String {
    time.0.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// `812 B`, `23.4 kB`, `1.2 MB`.
pub(crate) fn size(bytes: &i64) -> String {
    match bytes {
        ..1000 => format!("{bytes} B"),
        1000..1_000_000 => tenths(bytes / 100, "kB"),
        _ => tenths(bytes / 100_000, "MB"),
    }
}

fn tenths(tenths: i64, unit: impl Display) -> String {
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// A log line as a terminal would leave it: without escape sequences and other controls, and after a carriage return
/// only what was written last.
pub(crate) fn plain(line: &str) -> String {
    if !line.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return line.to_owned();
    }
    let line = line.trim_end_matches('\r');
    let last = line.rsplit('\r').next().unwrap_or_default();
    let mut text = String::with_capacity(last.len());
    let mut rest = last.chars();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => skip_escape(&mut rest),
            '\t' => text.push(c),
            _ if c.is_control() => {}
            _ => text.push(c),
        }
    }
    text
}

/// Goes on after an escape sequence: `[` to its final letter, `]` to its terminator, else one character.
fn skip_escape(rest: &mut std::str::Chars<'_>) {
    match rest.next() {
        Some('[') => while rest.next().is_some_and(|c| !matches!(c, '@'..='~')) {},
        Some(']') => while rest.next().is_some_and(|c| !matches!(c, '\u{7}' | '\\')) {},
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes() {
        let cases =
            [(0, "0 ms"), (999, "999 ms"), (4_260, "4.2 s"), (185_000, "3 m 05 s"), (3_725_000, "1 h 02 m")];
        for (ms, text) in cases {
            assert_eq!(duration(&Some(ms)), text);
        }
        assert_eq!(duration(&None), "");
        for (bytes, text) in [(812, "812 B"), (23_456, "23.4 kB"), (1_250_000, "1.2 MB")] {
            assert_eq!(size(&bytes), text);
        }
    }

    #[test]
    fn moments_are_exact() {
        assert_eq!(moment(&Time("2026-11-21T09:45:40.123Z".parse().unwrap())), "2026-11-21 09:45:40Z");
    }

    #[test]
    fn lines_lose_what_only_a_terminal_understands() {
        let cases = [
            ("plain", "plain"),
            ("\u{1b}[1;32mgreen\u{1b}[0m", "green"),
            ("10%\r 50%\r100%\r", "100%"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{7}", "link"),
            ("a\tb\u{8}c", "a\tbc"),
            ("cut \u{1b}[", "cut "),
            ("<b>kept</b>", "<b>kept</b>"),
        ];
        for (line, text) in cases {
            assert_eq!(plain(line), text);
        }
    }
}

//! The forms in which a program may print a secret: line by line, escaped, encoded.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// What is shorter is in every log by chance.
pub const VALUE_MIN: usize = 4;
/// The escaped and encoded forms of a longer text are not searched for, but for those that are found by their pieces.
const ESCAPED_MAX: usize = 64 << 10;

/// One way of writing a secret, or one line of it. It holds no line feed.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Form {
    pub(crate) bytes: Vec<u8>,
    /// Whether programs break it over lines, as they do with base64: then a part of it counts too.
    pub(crate) breaks: bool,
}

/// What a secret consists of: all of it, and its lines when it has several.
#[derive(Debug)]
pub(crate) struct Units<'a> {
    pub(crate) whole: &'a [u8],
    pub(crate) lines: Vec<&'a [u8]>,
}

/// Whether a secret of this value is searched for at all.
pub fn is_searchable(value: &[u8]) -> bool {
    units(value).is_some()
}

/// `None`: no line of it is long enough. White space around a line is not part of the secret: shells drop it.
pub(crate) fn units(value: &[u8]) -> Option<Units<'_>> {
    let whole = value.trim_ascii();
    let mut seen = HashSet::new();
    let lines: Vec<&[u8]> = whole
        .split(|byte| is_line_end(*byte))
        .map(<[u8]>::trim_ascii)
        .filter(|line| line.len() >= VALUE_MIN && seen.insert(*line))
        .collect();
    if lines.is_empty() {
        return None;
    }
    let is_one_line = !whole.iter().any(|byte| is_line_end(*byte));
    Some(Units { whole, lines: if is_one_line { Vec::new() } else { lines } })
}

/// A terminal begins again at a carriage return, so a line ends there too.
pub(crate) const fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// As it is, and as it is when it is no text and was made one.
pub(crate) fn plain(line: &[u8]) -> impl Iterator<Item = Form> + use<> {
    let plain = [line.to_vec(), String::from_utf8_lossy(line).into_owned().into_bytes()];
    distinct(plain.into_iter().map(|bytes| Form { bytes, breaks: false }))
}

/// Base64 and hexadecimal.
pub(crate) fn encoded(unit: &[u8]) -> impl Iterator<Item = Form> + use<> {
    let hex = [hex::encode(unit), hex::encode_upper(unit)];
    let all = hex.into_iter().chain(base64(unit));
    distinct(all.map(|text| Form { bytes: text.into_bytes(), breaks: true }))
}

/// As part of a JSON text or of a URL. `None`: it is too long for that.
pub(crate) fn escaped(unit: &[u8]) -> Option<impl Iterator<Item = Form> + use<>> {
    if unit.len() > ESCAPED_MAX {
        return None;
    }
    let text = std::str::from_utf8(unit).ok();
    let json = text.into_iter().flat_map(|text| JSON.map(|dialect| json(text, dialect)));
    let percent =
        URL.into_iter().flat_map(|dialect| [false, true].map(|lower| percent(unit, dialect, lower)));
    let all: Vec<String> = json.chain(percent).collect();
    Some(distinct(all.into_iter().map(|text| Form { bytes: text.into_bytes(), breaks: false })))
}

fn distinct(forms: impl Iterator<Item = Form>) -> impl Iterator<Item = Form> {
    let mut seen = HashSet::new();
    forms.filter(move |form| form.bytes.len() >= VALUE_MIN && seen.insert(form.bytes.clone()))
}

/// With nothing, one byte or two before it. The characters that its neighbours have a part in are left out, but for the
/// last one when it has no neighbour.
fn base64(unit: &[u8]) -> Vec<String> {
    let mut all = Vec::new();
    for (before, first) in [(0, 0), (1, 2), (2, 3)] {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(unit);
        let certain = bytes.len() * 8 / 6;
        for engine in [STANDARD, URL_SAFE] {
            let text = engine.encode(&bytes);
            let ends = [certain, text.trim_end_matches('=').len(), text.len()];
            all.extend(ends.map(|end| text[first..end].to_owned()));
        }
    }
    all
}

/// What an encoder escapes beyond what JSON asks for.
#[derive(Clone, Copy)]
struct JsonDialect {
    /// `/`, as PHP does.
    slash: bool,
    /// `<`, `>` and `&`, as Go does.
    html: bool,
    /// What is not ASCII, as Python does.
    ascii: bool,
    /// Quotes, backquotes and `+` by their numbers, and numbers with capitals, as .NET does.
    numbers: bool,
}

const PLAIN: JsonDialect = JsonDialect { slash: false, html: false, ascii: false, numbers: false };

const JSON: [JsonDialect; 6] = [
    PLAIN,
    JsonDialect { html: true, ..PLAIN },
    JsonDialect { ascii: true, ..PLAIN },
    JsonDialect { slash: true, ..PLAIN },
    JsonDialect { slash: true, ascii: true, ..PLAIN },
    JsonDialect { html: true, ascii: true, numbers: true, ..PLAIN },
];

fn json(text: &str, dialect: JsonDialect) -> String {
    let mut json = String::with_capacity(text.len());
    for c in text.chars() {
        let short = match c {
            '"' if !dialect.numbers => "\\\"",
            '\\' => "\\\\",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            '\u{8}' => "\\b",
            '\u{c}' => "\\f",
            '/' if dialect.slash => "\\/",
            _ => "",
        };
        let by_number = c < ' '
            || dialect.numbers && "\"'`+".contains(c)
            || dialect.ascii && !c.is_ascii()
            || dialect.html && matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}');
        match short {
            "" if by_number => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    json.push_str("\\u");
                    json.push_str(&if dialect.numbers {
                        format!("{unit:04X}")
                    } else {
                        format!("{unit:04x}")
                    });
                }
            }
            "" => json.push(c),
            short => json.push_str(short),
        }
    }
    json
}

/// What an encoder for URLs leaves as it is, besides letters and digits, and how it writes a space.
#[derive(Clone, Copy)]
struct UrlDialect {
    kept: &'static [u8],
    plus: bool,
}

const URL: [UrlDialect; 7] = [
    // RFC 3986's unreserved characters
    UrlDialect { kept: b"-_.~", plus: false },
    // Python's and Go's queries
    UrlDialect { kept: b"-_.~", plus: true },
    // Python's paths
    UrlDialect { kept: b"-_.~/", plus: false },
    // forms
    UrlDialect { kept: b"*-._", plus: true },
    // JavaScript's encodeURIComponent and encodeURI
    UrlDialect { kept: b"-_.!~*'()", plus: false },
    UrlDialect { kept: b"-_.!~*'();,/?:@&=+$#", plus: false },
    // a password in front of a host
    UrlDialect { kept: b"-_.!~*'()$&+,", plus: false },
];

fn percent(unit: &[u8], dialect: UrlDialect, lower: bool) -> String {
    let mut url = String::with_capacity(unit.len());
    for &byte in unit {
        match byte {
            b' ' if dialect.plus => url.push('+'),
            _ if byte.is_ascii_alphanumeric() || dialect.kept.contains(&byte) => url.push(char::from(byte)),
            _ if lower => url.push_str(&format!("%{byte:02x}")),
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(forms: impl Iterator<Item = Form>) -> Vec<String> {
        forms.map(|form| String::from_utf8(form.bytes).unwrap()).collect()
    }

    #[test]
    fn what_is_too_short_is_no_secret() {
        for short in ["", "abc", " abc\n", "ab\ncd\n", "\n\n\n\n\n"] {
            assert!(!is_searchable(short.as_bytes()), "{short:?}");
        }
        for long in ["abcd", "ab\r\ncdef\r\n"] {
            assert!(is_searchable(long.as_bytes()), "{long:?}");
        }
    }

    #[test]
    fn lines_stand_for_themselves() {
        let units = units(b"\nfirst line\r\n  second\nxy\nsecond\n").unwrap();
        assert_eq!(units.lines, [&b"first line"[..], b"second"]);
        assert_eq!(super::units(b" once \n").unwrap().lines, [b""; 0]);
    }

    #[test]
    fn json_as_several_languages_write_it() {
        let forms = texts(escaped("a\"/<\u{e4}\u{1f600}\u{1}\n".as_bytes()).unwrap());
        for expected in [
            "a\\\"/<\u{e4}\u{1f600}\\u0001\\n",
            "a\\\"/\\u003c\u{e4}\u{1f600}\\u0001\\n",
            "a\\\"/<\\u00e4\\ud83d\\ude00\\u0001\\n",
            "a\\\"\\/<\u{e4}\u{1f600}\\u0001\\n",
            "a\\\"\\/<\\u00e4\\ud83d\\ude00\\u0001\\n",
            "a\\u0022/\\u003C\\u00E4\\uD83D\\uDE00\\u0001\\n",
        ] {
            assert!(forms.iter().any(|form| form == expected), "{expected} is not in {forms:?}");
        }
    }

    #[test]
    fn urls_as_several_languages_write_them() {
        let forms = texts(escaped(b"p@ss w/rd*").unwrap());
        for expected in [
            "p%40ss%20w%2Frd%2A",
            "p%40ss%20w%2frd%2a",
            "p%40ss+w%2Frd%2A",
            "p%40ss%20w/rd%2A",
            "p%40ss+w%2Frd*",
            "p%40ss%20w%2Frd*",
            "p@ss%20w/rd*",
        ] {
            assert!(forms.iter().any(|form| form == expected), "{expected} is not in {forms:?}");
        }
    }

    #[test]
    fn base64_wherever_it_stands() {
        let value = b"s3cr?t>~v\xff\xfe";
        let forms = texts(encoded(value));
        for (before, after) in [("", ""), ("a", ""), ("ab", "c"), ("abc", "cd"), ("abcd", "\n")] {
            let whole = [before.as_bytes(), value, after.as_bytes()].concat();
            for engine in [STANDARD, URL_SAFE] {
                let text = engine.encode(&whole);
                let found =
                    forms.iter().filter(|form| text.contains(*form)).map(String::len).max().unwrap_or(0);
                // Its neighbours have a part in one character on either side.
                assert!(found >= value.len() * 8 / 6 - 2, "{text}: {found}");
            }
        }
    }
}

//! Tables, colours, durations and ages for people.

use std::io::Write;

use anyhow::Result;
use jiff::Timestamp;
use serde_json::Value;

const RESET: &str = "\u{1b}[0m";
const BOLD: &str = "\u{1b}[1m";

/// A cell of a table: its text, and how it is painted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    text: String,
    paint: &'static str,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell { text: text.into(), paint: "" }
    }
}

/// Columns as wide as their widest cell, two spaces apart; the last one is not padded.
pub(crate) fn table(out: &mut dyn Write, heading: &[&str], rows: &[Vec<Cell>]) -> Result<()> {
    let heading: Vec<Cell> = heading.iter().map(|it| Cell { text: it.to_uppercase(), paint: BOLD }).collect();
    let all = || std::iter::once(&heading).chain(rows);
    let width = |column: usize| all().map(|row| row[column].text.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    for row in all() {
        for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let is_last = index + 1 == row.len();
            let gap = if is_last { 0 } else { width + 2 - cell.text.chars().count() };
            write!(out, "{}{:gap$}", painted(&cell.text, cell.paint), "")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn painted(text: &str, paint: &str) -> String {
    if paint.is_empty() { text.to_owned() } else { format!("{paint}{text}{RESET}") }
}

/// The word for how a build or release stands, and its paint. Releases have the same words but for two.
pub(crate) fn status(value: &Value) -> Cell {
    let word = text(value);
    let paint = match word.as_str() {
        "live" => "\u{1b}[32m",
        "failed" => "\u{1b}[31m",
        "queued" | "building" | "built" | "rolling" => "\u{1b}[33m",
        _ => "\u{1b}[2m",
    };
    let text = match word.as_str() {
        "rolling" => "rolling out".to_owned(),
        "replaced" => "was live".to_owned(),
        _ => word,
    };
    Cell { text, paint }
}

pub(crate) fn paint(cell: &Cell) -> String {
    painted(&cell.text, cell.paint)
}

pub(crate) fn text(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None if value.is_null() => "-".to_owned(),
        None => value.to_string(),
    }
}

/// Puts what was given into a request's body; what was not is left out of it.
pub(crate) fn put<T: serde::Serialize>(body: &mut Value, field: &str, value: &Option<T>) {
    if let Some(value) = value {
        body[field] = serde_json::json!(value);
    }
}

pub(crate) fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn took(ms: &Value) -> String {
    match ms.as_u64() {
        None => "-".to_owned(),
        Some(ms @ 0..1000) => format!("{ms} ms"),
        Some(ms @ 1000..60_000) => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        Some(ms) => format!("{} m {:02} s", ms / 60_000, ms % 60_000 / 1000),
    }
}

/// `3 m ago`
pub(crate) fn ago(at: &Value, now: Timestamp) -> String {
    let Some(at) = at.as_str().and_then(|text| text.parse::<Timestamp>().ok()) else { return "-".to_owned() };
    match now.as_second() - at.as_second() {
        ..5 => "just now".to_owned(),
        s @ 5..60 => format!("{s} s ago"),
        s @ 60..3600 => format!("{} m ago", s / 60),
        s @ 3600..86_400 => format!("{} h ago", s / 3600),
        s => format!("{} d ago", s / 86_400),
    }
}

/// `in 3 m`
pub(crate) fn ahead(at: &Value, now: Timestamp) -> String {
    let Some(at) = at.as_str().and_then(|text| text.parse::<Timestamp>().ok()) else { return "-".to_owned() };
    match at.as_second() - now.as_second() {
        ..1 => "now".to_owned(),
        s @ 1..60 => format!("in {s} s"),
        s @ 60..3600 => format!("in {} m", s / 60),
        s @ 3600..86_400 => format!("in {} h", s / 3600),
        s => format!("in {} d", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ages_and_durations() {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        for (at, shown) in [
            ("2026-01-01T23:57:00Z", "3 m ago"),
            ("2026-01-01T00:00:00Z", "1 d ago"),
            ("2026-01-02T00:00:09Z", "just now"),
        ] {
            assert_eq!(ago(&json!(at), now), shown);
        }
        assert_eq!(
            (took(&json!(4200)), took(&json!(185_000)), took(&Value::Null)),
            ("4.2 s".into(), "3 m 05 s".into(), "-".into())
        );
    }

    #[test]
    fn columns_are_aligned_whatever_their_paint() {
        let mut out = Vec::new();
        let rows = [
            vec!["#1".into(), status(&json!("live")), "a".into()],
            vec!["#10".into(), "superseded".into(), "b".into()],
        ];
        table(&mut out, &["build", "state", "subject"], &rows).unwrap();
        let plain = anstream::adapter::strip_bytes(&out).into_vec();
        let expected = "BUILD  STATE       SUBJECT\n#1     live        a\n#10    superseded  b\n";
        assert_eq!(String::from_utf8(plain).unwrap(), expected);
    }
}

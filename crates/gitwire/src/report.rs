//! The report with which a push ends: whether the pack was taken, and what became of each ref.

use crate::pkt_line::{self, Packet};

/// Clients before git 1.8 read a line of the report into a thousand bytes; a longer reason helps nobody either.
const LINE_MAX: usize = 1000;
/// A longer name than this is not echoed whole; no ref is allowed that long.
const NAME_MAX: usize = 60_000;

/// What became of one ref; the error is a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub name: String,
    pub result: Result<(), String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub unpack: Result<(), String>,
    pub verdicts: Vec<Verdict>,
}

/// The report's packets with the flush that ends them.
pub fn encode(unpack: Result<(), &str>, verdicts: &[Verdict]) -> Vec<u8> {
    let mut into = Vec::new();
    let mut line = |line: String| pkt_line::encode(format!("{line}\n").as_bytes(), &mut into);
    line(format!("unpack {}", unpack.map_or_else(|why| one_line(why, LINE_MAX - 10), |()| "ok".to_owned())));
    for verdict in verdicts {
        let name = one_line(&verdict.name, NAME_MAX);
        line(match &verdict.result {
            Ok(()) => format!("ok {name}"),
            Err(why) => {
                format!("ng {name} {}", one_line(why, LINE_MAX.saturating_sub(name.len() + 10).max(200)))
            }
        });
    }
    into.extend_from_slice(pkt_line::FLUSH);
    into
}

/// What a `git receive-pack` child answers; `None` when it is no whole report.
pub fn decode(bytes: &[u8]) -> Option<Report> {
    let mut rest = bytes;
    let mut next = || {
        let (packet, length) = pkt_line::decode(rest).ok()??;
        rest = &rest[length..];
        match packet {
            Packet::Data(data) => {
                let line = String::from_utf8_lossy(data.strip_suffix(b"\n").unwrap_or(data)).into_owned();
                Some(Some(line))
            }
            Packet::Flush => Some(None),
            Packet::Delimiter | Packet::ResponseEnd => None,
        }
    };
    let unpack = match next()??.strip_prefix("unpack ")? {
        "ok" => Ok(()),
        why => Err(why.to_owned()),
    };
    let mut verdicts = Vec::new();
    while let Some(line) = next()? {
        verdicts.push(verdict(&line)?);
    }
    Some(Report { unpack, verdicts })
}

fn verdict(line: &str) -> Option<Verdict> {
    if let Some(name) = line.strip_prefix("ok ") {
        return Some(Verdict { name: name.to_owned(), result: Ok(()) });
    }
    let refused = line.strip_prefix("ng ")?;
    let (name, why) = refused.split_once(' ').unwrap_or((refused, "failed"));
    Some(Verdict { name: name.to_owned(), result: Err(why.to_owned()) })
}

/// Text on one line without control characters, of at most `max` bytes.
fn one_line(text: &str, max: usize) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_control()).map(str::trim).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if line.len() > max {
        line.truncate(line.floor_char_boundary(max - "…".len()));
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verdict_of(name: &str, result: Result<(), &str>) -> Verdict {
        Verdict { name: name.to_owned(), result: result.map_err(str::to_owned) }
    }

    #[test]
    fn a_report_is_lines_and_a_flush() {
        let verdicts = [verdict_of("refs/heads/main", Ok(())), verdict_of("refs/tags/v1", Err("no"))];
        let bytes = encode(Ok(()), &verdicts);
        assert_eq!(bytes, b"000eunpack ok\n0017ok refs/heads/main\n0017ng refs/tags/v1 no\n0000");
        assert_eq!(decode(&bytes), Some(Report { unpack: Ok(()), verdicts: verdicts.to_vec() }));
        let failed = decode(&encode(Err("index-pack failed"), &[])).unwrap();
        assert_eq!(failed.unpack, Err("index-pack failed".to_owned()));
    }

    #[test]
    fn a_reason_is_one_short_line() {
        let reason = |text: &str| {
            let bytes = encode(Ok(()), &[verdict_of("refs/heads/main", Err(text))]);
            decode(&bytes).unwrap().verdicts.remove(0).result.unwrap_err()
        };
        assert_eq!(
            reason("build #4 failed:\n\tRUN make\r\n\n\0exit 2\u{1b}"),
            "build #4 failed: RUN make exit 2"
        );
        let long = reason(&"é".repeat(5000));
        assert!(long.ends_with("é…") && (900..LINE_MAX).contains(&long.len()), "{}", long.len());
        let injected = encode(Ok(()), &[verdict_of("a\nok refs/heads/main", Err("no"))]);
        assert!(!injected.windows(4).any(|it| it == b"\nok "));
        // The longest name that a packet can ask for still gets its verdict.
        let long_name = verdict_of(&"n".repeat(pkt_line::DATA_MAX), Err(&"x".repeat(5000)));
        assert_eq!(decode(&encode(Ok(()), &[long_name])).unwrap().verdicts.len(), 1);
    }

    #[test]
    fn what_is_no_whole_report() {
        let whole = encode(Ok(()), &[verdict_of("refs/heads/main", Ok(()))]);
        for end in 0..whole.len() {
            assert_eq!(decode(&whole[..end]), None, "{end}");
        }
        let mut strange = Vec::new();
        pkt_line::encode(b"unpack ok\n", &mut strange);
        pkt_line::encode(b"option refname refs/heads/main\n", &mut strange);
        strange.extend_from_slice(pkt_line::FLUSH);
        for bad in [&b""[..], b"0000", b"HTTP/1.1 500", b"0001", strange.as_slice()] {
            assert_eq!(decode(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_verdicts_come_back(
            verdicts in prop::collection::vec(("refs/[a-z/]{0,30}[a-z]", prop::option::of("[!-~é]([ -~]{0,40}[!-~é])?")), 0..6)
        ) {
            let verdicts: Vec<Verdict> = verdicts
                .into_iter()
                .map(|(name, why)| Verdict { name, result: why.map_or(Ok(()), Err) })
                .collect();
            let report = decode(&encode(Ok(()), &verdicts)).unwrap();
            let spaces = |it: &str| it.split_whitespace().collect::<Vec<_>>().join(" ");
            for (read, written) in report.verdicts.iter().zip(&verdicts) {
                prop_assert_eq!(&read.name, &written.name);
                prop_assert_eq!(read.result.as_ref().map_err(|it| spaces(it)), written.result.as_ref().map_err(|it| spaces(it)));
            }
            prop_assert_eq!(report.verdicts.len(), verdicts.len());
        }
    }
}

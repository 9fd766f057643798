//! Redaction as a whole: every form, wherever it stands and however it arrives.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;

const PEM: &str = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\nMzEfYyjiWA4R4/M2bS1GB4t7NXp98C3S\n-----END KEY-----\n";

fn redactor(secrets: &[(&str, &str)]) -> Redactor {
    Redactor::new(secrets.iter().map(|(name, value)| (*name, value.as_bytes())))
}

/// What a stream gives of `pieces`.
fn streamed<'a>(redactor: &Redactor, pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut stream = redactor.stream();
    let mut out = Vec::new();
    for piece in pieces {
        out.extend_from_slice(&stream.push(piece));
    }
    out.extend(stream.finish());
    String::from_utf8(out).unwrap()
}

/// As `base64` and `openssl` break it.
fn wrapped(text: &str, width: usize) -> String {
    let lines = text.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_form_is_replaced() {
    let redactor = redactor(&[("TOKEN", "p\u{e4}ss/\"w0rd\" 99")]);
    let value = "p\u{e4}ss/\"w0rd\" 99";
    let base64 = STANDARD.encode(value);
    let basic = STANDARD.encode(format!("user:{value}"));
    let url_safe = URL_SAFE_NO_PAD.encode(format!("x{value}"));
    for text in [
        value,
        "p\u{e4}ss/\\\"w0rd\\\" 99",
        "p\\u00e4ss\\/\\\"w0rd\\\" 99",
        "p%C3%A4ss%2F%22w0rd%22+99",
        "p%c3%a4ss%2f%22w0rd%22%2099",
        "70c3a473732f227730726422203939",
        "70C3A473732F227730726422203939",
        &base64,
        &basic,
        &url_safe,
    ] {
        let line = format!("--{text}--");
        let redacted = redactor.redact(&line);
        let rest = redacted.replace("[secret TOKEN]", "");
        // Of base64 a character on either side belongs to a neighbour too.
        assert!(redacted.contains("[secret TOKEN]") && rest.len() <= 4 + 8, "{line}: {redacted}");
        assert_eq!(streamed(&redactor, line.as_bytes().chunks(1)), redacted);
    }
    assert_eq!(redactor.counts(), [("TOKEN", 20)]);
    assert_eq!(redactor.redact(&base64), "[secret TOKEN]", "with its padding");
}

#[test]
fn lines_are_secrets_themselves() {
    let redactor = redactor(&[("KEY", PEM)]);
    for line in PEM.lines() {
        assert_eq!(redactor.redact(&format!("| {line} |")), "| [secret KEY] |");
    }
    let printed = streamed(&redactor, [PEM.replace('\n', "\r\n").as_bytes()]);
    assert_eq!(printed, "[secret KEY]\r\n".repeat(4));
    let json = format!("{{\"key\": \"{}\"}}", PEM.replace('\n', "\\n"));
    assert_eq!(redactor.redact(&json), "{\"key\": \"[secret KEY]\\n\"}");
}

#[test]
fn encodings_are_found_when_they_are_broken_over_lines() {
    let redactor = redactor(&[("KEY", PEM)]);
    for before in ["", "a", "ab"] {
        let text = format!("{before}{PEM}trailer");
        for (encoded, width) in
            [(STANDARD.encode(&text), 76), (STANDARD.encode(&text), 64), (hex::encode(&text), 60)]
        {
            let printed = wrapped(&encoded, width);
            let redacted = streamed(&redactor, [printed.as_bytes()]);
            let left: usize = redacted.lines().map(|line| line.replace("[secret KEY]", "").len()).sum();
            // What is around the secret, and the beginning of its last line, which may be too short to be known.
            assert!(left <= 48 + 16, "{redacted}");
        }
    }
}

#[test]
fn what_is_no_secret_stays() {
    let nothing = redactor(&[("SHORT", "abc")]);
    assert_eq!(nothing.gaps(), ["SHORT"]);
    assert!(matches!(nothing.redact("abc abc"), Cow::Borrowed("abc abc")));
    assert!(matches!(nothing.stream().push(b"abc"), Cow::Borrowed(b"abc")));
    let redactor = redactor(&[("TOKEN", "s3cr3t-value")]);
    assert!(matches!(redactor.redact("s3cr3t-valu e"), Cow::Borrowed(_)));
    assert_eq!(streamed(&redactor, [&b"s3cr3t-\nvalue\n"[..]]), "s3cr3t-\nvalue\n");
    assert!(redactor.counts().is_empty() && redactor.gaps().is_empty());
    assert!(!format!("{redactor:?}").contains("s3cr3t"));
}

#[test]
fn secrets_that_overlap_are_one_replacement_and_two_counts() {
    let redactor = redactor(&[("LATE", "defghi"), ("EARLY", "abcdef"), ("INNER", "bcde")]);
    assert_eq!(redactor.redact("abcdefghi"), "[secret EARLY]");
    assert_eq!(redactor.redact("defghiabcdef"), "[secret LATE][secret EARLY]");
    assert_eq!(redactor.counts(), [("LATE", 2), ("EARLY", 2), ("INNER", 2)]);
}

#[test]
fn a_line_without_an_end_is_given_in_parts() {
    let redactor = redactor(&[("TOKEN", "s3cr3t-value")]);
    let mut stream = redactor.stream();
    let (mut given, mut seen) = (0, 0);
    for _ in 0..100 {
        seen += 4096;
        given += stream.push(&[b'.'; 4096]).len();
        assert!(seen - given < 100 << 10, "{seen} {given}");
    }
    assert!(given > 0);
}

#[test]
fn a_secret_may_stand_anywhere_in_a_long_line() {
    let long: String = (0..9000).map(|n| format!("{:x}", n * 7919)).collect();
    for (name, value) in [("TOKEN", "s3cr3t-value"), ("LONG", &long[..3000]), ("BLOB", &long[..20_000])] {
        let redactor = redactor(&[(name, value)]);
        for encoded in [value.to_owned(), STANDARD.encode(value), hex::encode(value)] {
            for before in (65_000..75_000).step_by(1499) {
                let line = format!("{}{encoded}{}{encoded}\n", ".".repeat(before), "_".repeat(70_000));
                let redacted = streamed(&redactor, line.as_bytes().chunks(8192));
                let placeholder = format!("[secret {name}]");
                let expected =
                    format!("{}{placeholder}{}{placeholder}\n", ".".repeat(before), "_".repeat(70_000));
                assert!(redacted == expected, "{name} {before}: {}", redacted.len());
            }
        }
    }
}

#[test]
fn a_large_secret_costs_little() {
    let blob: Vec<u8> = (0..500_u32 << 10).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let lines: String = (0..5_000).map(|n| format!("setting_{n} = {}\n", n * 7919)).collect();
    let redactor =
        Redactor::new([("BLOB", &blob[..]), ("LINES", lines.as_bytes()), ("TOKEN", b"s3cr3t-value")]);
    assert_eq!(redactor.redact("s3cr3t-value"), "[secret TOKEN]");
    assert_eq!(redactor.redact("setting_4999 = 39587081"), "[secret LINES]");
    assert_eq!(redactor.redact(&STANDARD.encode(&blob)), "[secret BLOB]");
    assert!(redactor.gaps().contains(&"BLOB".to_owned()), "its escaped forms are not searched for");
    // Nothing but anchors: each of them begins a comparison.
    let same = vec![b'a'; 500 << 10];
    let redactor = Redactor::new([("SAME", &same[..])]);
    let mut stream = redactor.stream();
    let mut given = 0;
    for _ in 0..16 {
        given += stream.push(&[b'a'; 64 << 10]).len();
    }
    given += stream.finish().len();
    assert!(given < 1000, "{given}");
}

/// Text with the secrets' forms in it.
fn with_secrets() -> impl Strategy<Value = (Vec<String>, String)> {
    let value = "[a-z0-9+/ %\"\u{e4}\n]{6,40}[A-Z]{4}";
    let secrets = prop::collection::vec(value, 1..4);
    let part = (any::<prop::sample::Index>(), 0..6_u8, "[a-z0-9 =\n]{0,12}");
    (secrets, prop::collection::vec(part, 0..8)).prop_map(|(secrets, parts)| {
        let mut text = String::new();
        for (which, form, between) in parts {
            let value = which.get(&secrets);
            text.push_str(&between);
            text.push_str(&match form {
                0 => value.clone(),
                1 => STANDARD.encode(value),
                2 => wrapped(&STANDARD.encode(value), 20),
                3 => hex::encode(value),
                4 => value.replace('"', "\\\"").replace('\n', "\\n"),
                _ => value[value.floor_char_boundary(value.len() - 6)..].to_owned(),
            });
        }
        (secrets, text)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn where_a_text_is_cut_does_not_matter((secrets, text) in with_secrets()) {
        let names: Vec<_> = (0..secrets.len()).map(|n| format!("S{n}")).collect();
        let redactor = Redactor::new(names.iter().map(String::as_str).zip(secrets.iter().map(String::as_bytes)));
        let expected = redactor.redact(&text).into_owned();
        let once: Vec<_> = redactor.counts().iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        for at in 0..=text.len() {
            let (before, after) = text.as_bytes().split_at(at);
            prop_assert_eq!(&streamed(&redactor, [before, after]), &expected);
        }
        prop_assert_eq!(&streamed(&redactor, text.as_bytes().chunks(1)), &expected);
        let times = text.len() as u64 + 3;
        for ((name, count), (_, first)) in redactor.counts().iter().zip(&once) {
            prop_assert_eq!(*count, first * times, "{}", name);
        }
    }

    #[test]
    fn no_value_is_left((secrets, text) in with_secrets()) {
        let names: Vec<_> = (0..secrets.len()).map(|n| format!("S{n}")).collect();
        let redactor = Redactor::new(names.iter().map(String::as_str).zip(secrets.iter().map(String::as_bytes)));
        let redacted = redactor.redact(&text);
        for line in secrets.iter().flat_map(|value| value.lines()).map(str::trim).filter(|line| line.len() >= 4) {
            prop_assert!(!redacted.contains(line), "{} in {}", line, redacted);
        }
        prop_assert!(!secrets.iter().any(|value| redacted.contains(&STANDARD.encode(value.trim()))));
    }
}

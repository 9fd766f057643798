//! Every recorded delivery and what it must become; `tests/vectors/README.md` tells what each one is.

use std::fs;
use std::path::PathBuf;

use domain::forge_kind::ForgeKind;
use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;

use crate::{BadSignature, What, parse, verify};

struct Recorded {
    kind: ForgeKind,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// Reads every line of `expected.txt` with its delivery.
fn recorded() -> Vec<(Vec<String>, Recorded)> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors"));
    let expected = fs::read_to_string(folder.join("expected.txt")).unwrap();
    let read = |line: &str| {
        let columns: Vec<String> = line.split(" | ").map(str::to_owned).collect();
        let name = &columns[0];
        let mut headers = HeaderMap::new();
        for line in fs::read_to_string(folder.join(format!("{name}.headers"))).unwrap().lines() {
            let (name, value) = line.split_once(": ").unwrap();
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap());
        }
        let kind = if name.starts_with("gogs") { ForgeKind::Gogs } else { ForgeKind::Gitea };
        let body = fs::read(folder.join(format!("{name}.body"))).unwrap();
        (columns, Recorded { kind, headers, body })
    };
    expected.lines().filter(|line| !line.starts_with('#')).map(read).collect()
}

fn secret() -> SecretString {
    SecretString::from("slipway-test-secret")
}

#[test]
fn every_recorded_delivery_reads_as_expected() {
    let recorded = recorded();
    assert_eq!(recorded.len(), 30, "12 of Gogs and 18 of Gitea");
    for (columns, delivery) in recorded {
        let Recorded { kind, headers, body } = &delivery;
        assert_eq!(verify(*kind, &secret(), headers, body), Ok(()), "{}", columns[0]);
        let event = parse(*kind, headers, body);
        let (verdict, git_ref, commit, why) = match event.what {
            What::Push { branch, commit } => {
                ("accepted", Some(format!("refs/heads/{branch}")), Some(commit), "-".to_owned())
            }
            What::Deleted { branch } => (
                "accepted",
                Some(format!("refs/heads/{branch}")),
                None,
                format!("branch {branch} was deleted"),
            ),
            What::Ignored { why, git_ref, commit } => ("ignored", git_ref, commit, why),
        };
        let git_ref = git_ref.unwrap_or_else(|| "-".to_owned());
        let commit = commit.map_or_else(|| "-".to_owned(), String::from);
        let got = [&event.name, verdict, &git_ref, &commit, &why];
        assert_eq!(got.as_slice(), &columns[1..], "{}", columns[0]);
        assert_eq!(
            event.delivery_key.map(|key| key.len()),
            Some("028d455a-62a8-4c02-8405-5ad823b71964".len())
        );
    }
}

#[test]
fn no_recorded_delivery_passes_when_anything_is_changed() {
    for (columns, delivery) in recorded() {
        let Recorded { kind, mut headers, body } = delivery;
        let name = &columns[0];
        let other = SecretString::from("slipway-test-secreT");
        assert_eq!(verify(kind, &other, &headers, &body), Err(BadSignature::Mismatch), "{name}");

        let mut changed = body.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        assert_eq!(verify(kind, &secret(), &headers, &changed), Err(BadSignature::Mismatch), "{name}");

        let header = if kind == ForgeKind::Gogs { "x-gogs-signature" } else { "x-gitea-signature" };
        let upper = headers[header].to_str().unwrap().to_uppercase();
        headers.insert(header, upper.parse().unwrap());
        assert_eq!(verify(kind, &secret(), &headers, &body), Err(BadSignature::Malformed(header)), "{name}");
        headers.insert(header, HeaderValue::from_static(""));
        assert_eq!(verify(kind, &secret(), &headers, &body), Err(BadSignature::Empty(header)), "{name}");
        headers.remove(header);
        assert_eq!(verify(kind, &secret(), &headers, &body), Err(BadSignature::Missing(header)), "{name}");
    }
}

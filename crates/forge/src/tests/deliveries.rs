//! What no recording shows: GitHub, published signatures, bodies made to do harm.

use domain::forge_kind::ForgeKind;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use secrecy::SecretString;

use crate::{BadSignature, Event, What, parse, verify};

const COMMIT: &str = "7f70ee95f145f093408f6cca6ad0709e1b21782a";
const ZEROS: &str = "0000000000000000000000000000000000000000";

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pairs = pairs
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
    pairs.collect()
}

fn github(event: &str, json: &str) -> Event {
    parse(
        ForgeKind::Github,
        &headers(&[("x-github-event", event), ("x-github-delivery", "d1")]),
        json.as_bytes(),
    )
}

fn why(event: Event) -> String {
    match event.what {
        What::Ignored { why, .. } => why,
        other @ (What::Push { .. } | What::Deleted { .. }) => panic!("{other:?} is not ignored"),
    }
}

/// The example of GitHub's documentation "Validating webhook deliveries".
#[test]
fn the_published_signature_of_github_matches() {
    let secret = SecretString::from("It's a Secret to Everybody");
    let hex = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let sent = |value: &str| headers(&[("x-hub-signature-256", value)]);
    let check = |value: &str, body: &[u8]| verify(ForgeKind::Github, &secret, &sent(value), body);

    assert_eq!(check(&format!("sha256={hex}"), b"Hello, World!"), Ok(()));
    assert_eq!(check(&format!("sha256={hex}"), b"Hello, World?"), Err(BadSignature::Mismatch));
    let malformed = Err(BadSignature::Malformed("x-hub-signature-256"));
    for value in
        [hex, &format!("sha256={}", hex.to_uppercase()), "sha256=", &format!("sha256={hex}00"), "sha1=aa"]
    {
        assert_eq!(check(value, b"Hello, World!"), malformed, "{value}");
    }
}

#[test]
fn github_signs_the_form_and_not_the_json_in_it() {
    let secret = SecretString::from("topsecret");
    let body = b"payload=%7B%22ref%22%3A%22refs%2Fheads%2Fmain%22%2C%22after%22%3A%227f70ee95f145f093408f6cca6ad0709e1b21782a%22%7D";
    // openssl dgst -sha256 -hmac topsecret, of the form and of the JSON in it
    let of_form = "7b2fb3695bc6778bb7d7f929089d884ae47208882752bb2c1a65aee073e8178f";
    let of_json = "901c3d3ff6cc180645413061a809206fac8a8ac7188407267d2ada2a453a3a23";
    let sent = |hex: &str| {
        headers(&[
            ("content-type", "application/x-www-form-urlencoded"),
            ("x-github-event", "push"),
            ("x-hub-signature-256", &format!("sha256={hex}")),
            ("x-gogs-event", "push"),
            ("x-gogs-signature", hex),
        ])
    };
    assert_eq!(verify(ForgeKind::Github, &secret, &sent(of_form), body), Ok(()));
    assert_eq!(verify(ForgeKind::Github, &secret, &sent(of_json), body), Err(BadSignature::Mismatch));
    assert_eq!(verify(ForgeKind::Gogs, &secret, &sent(of_json), body), Ok(()));
    assert_eq!(verify(ForgeKind::Gogs, &secret, &sent(of_form), body), Err(BadSignature::Mismatch));
    let bare = verify(ForgeKind::Gogs, &secret, &sent(of_json), b"{}");
    assert_eq!(bare, Err(BadSignature::NoPayload), "what curl sends when it is not told the content type");
    for kind in [ForgeKind::Github, ForgeKind::Gogs] {
        let push = What::Push { branch: "main".to_owned(), commit: COMMIT.to_owned().try_into().unwrap() };
        assert_eq!(parse(kind, &sent(of_form), body).what, push);
    }
}

#[test]
fn github_events() {
    let push = github("push", &format!(r#"{{"ref":"refs/heads/a/b","after":"{COMMIT}","deleted":false}}"#));
    assert_eq!(push.delivery_key.as_deref(), Some("d1"));
    assert_eq!(
        push.what,
        What::Push { branch: "a/b".to_owned(), commit: COMMIT.to_owned().try_into().unwrap() }
    );
    let deleted = format!(r#"{{"ref":"refs/heads/old","after":"{ZEROS}","deleted":true}}"#);
    assert_eq!(github("push", &deleted).what, What::Deleted { branch: "old".to_owned() });
    let deleted = r#"{"ref":"old","ref_type":"branch"}"#;
    assert_eq!(github("delete", deleted).what, What::Deleted { branch: "old".to_owned() });
    let deleted = r#"{"ref":"v1","ref_type":"tag"}"#;
    assert_eq!(why(github("delete", deleted)), "tag v1 was deleted");
    let deleted = r#"{"ref":"..","ref_type":"branch"}"#;
    assert_eq!(why(github("delete", deleted)), "branch .. was deleted", "no branch has that name");
    assert_eq!(why(github("ping", r#"{"zen":"Design for failure."}"#)), "ping: the hook works");
    assert!(why(github("star", "{}")).starts_with("a star event builds nothing"));
    let created = r#"{"ref":"v1","ref_type":"tag","master_branch":"main"}"#;
    assert_eq!(why(github("create", created)), "tag v1 was created: only branches are built");
}

#[test]
fn what_cannot_be_read_is_ignored_with_a_reason() {
    let nameless = parse(ForgeKind::Gitea, &HeaderMap::new(), b"{}");
    assert_eq!(
        (nameless.delivery_key.clone(), why(nameless)),
        (None, "it names no event in x-gitea-event".to_owned())
    );
    assert!(why(github("push", "not json")).starts_with("the body does not read as a push event: "));
    assert!(why(github("push", r#"{"ref":"refs/heads/main"}"#)).contains("missing field `after`"));
    assert!(
        why(github("push", &format!(r#"{{"ref":"refs/heads/-x","after":"{COMMIT}"}}"#)))
            .contains("not name a branch")
    );
    assert!(why(github("push", r#"{"ref":"refs/heads/main","after":"HEAD"}"#)).contains("not a commit id"));
}

#[test]
fn a_reason_is_short_and_holds_no_control_characters() {
    let tag = format!(r#"{{"ref":"v\u0000\n{}","ref_type":"tag"}}"#, "x".repeat(5000));
    let why = why(github("create", &tag));
    assert!(why.chars().count() <= 300 && !why.contains('\0') && !why.contains('\n'), "{why:?}");
}

proptest! {
    #[test]
    fn any_delivery_gets_an_answer(
        body: Vec<u8>,
        git_ref: String,
        after: String,
        signature in "[ -~]{0,80}",
        form: bool,
        event in prop::sample::select(vec!["push", "create", "delete", "pull_request", "ping", ""]),
    ) {
        let content_type = if form { "application/x-www-form-urlencoded" } else { "application/json" };
        let json = serde_json::json!({
            "ref": git_ref, "after": after, "ref_type": "branch", "sha": after, "action": after, "number": 7,
            "pull_request": {"head": {"sha": after}},
        });
        let mut sent = headers(&[("content-type", content_type)]);
        for forge in ["gitea", "gogs", "github"] {
            sent.insert(HeaderName::try_from(format!("x-{forge}-event")).unwrap(), event.parse().unwrap());
            let name = HeaderName::try_from(format!("x-{forge}-signature")).unwrap();
            sent.insert(name, signature.parse().unwrap());
        }
        sent.insert("x-hub-signature-256", signature.parse().unwrap());
        for kind in ForgeKind::ALL {
            prop_assert!(verify(*kind, &SecretString::from("key"), &sent, &body).is_err());
            for body in [&body, json.to_string().as_bytes()] {
                if let What::Ignored { why, git_ref, .. } = parse(*kind, &sent, body).what {
                    prop_assert!(!why.is_empty() && !why.contains('\0'));
                    prop_assert!(git_ref.is_none_or(|git_ref| !git_ref.contains('\0')));
                }
            }
        }
    }
}

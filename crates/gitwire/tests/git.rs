//! What git itself makes of the packets: `send-pack` is shown an advertisement and a report, `receive-pack` a request.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use domain::commit::Commit;
use gitwire::advertisement;
use gitwire::pkt_line::{self, Packet};
use gitwire::report::{self, Verdict};
use gitwire::request::{self, Reader, Update};
use gitwire::sideband::{self, Band, Demux};

fn git(dir: &Path, args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new("git")
        .args(["-c", "user.name=Test", "-c", "user.email=test@example.com"])
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("git runs");
    // Git may end without having read all of it.
    child.stdin.take().expect("it is piped").write_all(input).ok();
    child.wait_with_output().expect("git ends")
}

fn text(dir: &Path, args: &[&str]) -> String {
    let output = git(dir, args, b"");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("git speaks UTF-8").trim().to_owned()
}

/// A repository with one commit on `main`.
fn repository(dir: &Path) -> Commit {
    text(dir, &["init", "--quiet", "--initial-branch=main"]);
    text(dir, &["commit", "--quiet", "--allow-empty", "--message=One"]);
    Commit::parse(&text(dir, &["rev-parse", "HEAD"])).expect("a commit")
}

/// Pushes to what answers `refs` and then `answer`: how it ended, what it showed, and what it sent.
fn push(dir: &Path, refs: &[(String, Commit)], answer: &[u8], args: &[&str]) -> (bool, String, Vec<u8>) {
    let advertised = advertisement::receive_pack(refs, "slipway/test");
    // The transport reads the service's name before send-pack runs.
    let (_, length) = pkt_line::decode(&advertised).expect("a packet").expect("a whole one");
    let input = [&advertised[length + pkt_line::FLUSH.len()..], answer].concat();
    let output = git(dir, &[&["send-pack", "--stateless-rpc"], args].concat(), &input);
    // Towards its transport git puts the stream of its request into packets of its own.
    let (mut sent, mut wrapped) = (Vec::new(), output.stdout.as_slice());
    while let Some((packet, length)) = pkt_line::decode(wrapped).expect("git writes packets") {
        wrapped = &wrapped[length..];
        if let Packet::Data(data) = packet {
            sent.extend_from_slice(data);
        }
    }
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned(), sent)
}

fn answer(lines: &[&str], verdicts: &[Verdict]) -> Vec<u8> {
    let mut into = sideband::KEEPALIVE.to_vec();
    for line in lines {
        sideband::encode(Band::Progress, format!("{}\n", sideband::sanitize(line)).as_bytes(), &mut into);
    }
    sideband::encode(Band::Data, &report::encode(Ok(()), verdicts), &mut into);
    into.extend_from_slice(pkt_line::FLUSH);
    into
}

#[test]
fn git_pushes_to_what_is_advertised() {
    let dir = tempfile::tempdir().unwrap();
    let one = repository(dir.path());
    let taken = [Verdict { name: "refs/heads/main".to_owned(), result: Ok(()) }];
    let args = ["--push-option=no-cache", "--push-option=env=staging", "slipway", "main"];
    let (is_ok, shown, sent) =
        push(dir.path(), &[], &answer(&["-----> shop", "a\u{1b}]0;t\u{7}b"], &taken), &args);
    assert!(is_ok && shown.contains("remote: -----> shop") && shown.contains("remote: ab"), "{shown}");
    assert!(shown.contains("[new branch]"), "{shown}");

    let (request, pack) = Reader::new().feed(&sent).unwrap().expect("the request is whole");
    assert_eq!(request.updates, [Update { old: None, new: Some(one), name: "refs/heads/main".to_owned() }]);
    assert_eq!(request.options, ["no-cache", "env=staging"]);
    assert!(request.capabilities.has("side-band-64k") && request.capabilities.has("report-status"));
    assert_eq!(request.capabilities.value("object-format"), Some("sha1"));
    assert!(pack.starts_with(b"PACK"), "{pack:?}");
}

#[test]
fn git_shows_why_a_push_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let one = repository(dir.path());
    text(dir.path(), &["commit", "--quiet", "--allow-empty", "--message=Two"]);
    let why = "build #42 failed: `RUN make` ended with 2".to_owned();
    let refused = [Verdict { name: "refs/heads/main".to_owned(), result: Err(why) }];
    let refs = [("refs/heads/main".to_owned(), one.clone())];
    let (is_ok, shown, sent) = push(dir.path(), &refs, &answer(&[], &refused), &["slipway", "main"]);
    assert!(!is_ok, "{shown}");
    assert!(
        shown.contains("! [remote rejected] main -> main (build #42 failed: `RUN make` ended with 2)"),
        "{shown}"
    );
    let (request, _) = Reader::new().feed(&sent).unwrap().expect("the request is whole");
    assert_eq!(request.updates[0].old, Some(one));
    assert!(request.options.is_empty());
}

#[test]
fn git_deletes_and_pushes_from_shallow_clones() {
    let dir = tempfile::tempdir().unwrap();
    let one = repository(dir.path());
    text(dir.path(), &["commit", "--quiet", "--allow-empty", "--message=Two"]);
    text(
        dir.path(),
        &["clone", "--quiet", "--depth=1", &format!("file://{}", dir.path().display()), "shallow"],
    );
    let shallow = dir.path().join("shallow");
    let two = Commit::parse(&text(&shallow, &["rev-parse", "HEAD"])).unwrap();
    let refs = [("refs/heads/old".to_owned(), one.clone())];
    let verdict = |name: &str| Verdict { name: name.to_owned(), result: Ok(()) };
    let done = answer(&[], &[verdict("refs/heads/old"), verdict("refs/tags/v1")]);
    let (is_ok, shown, sent) =
        push(&shallow, &refs, &done, &["slipway", ":refs/heads/old", "HEAD:refs/tags/v1"]);
    assert!(is_ok && shown.contains("[deleted]") && shown.contains("[new tag]"), "{shown}");
    let (request, _) = Reader::new().feed(&sent).unwrap().expect("the request is whole");
    assert_eq!(request.shallow, std::slice::from_ref(&two));
    let mut updates = request.updates;
    updates.sort_by(|a, b| a.name.cmp(&b.name));
    let update = |name: &str, old, new| Update { old, new, name: name.to_owned() };
    assert_eq!(updates, [update("refs/heads/old", Some(one), None), update("refs/tags/v1", None, Some(two))]);
}

#[test]
fn git_does_what_the_commands_say() {
    let dir = tempfile::tempdir().unwrap();
    let one = repository(dir.path());
    let name = "refs/pushes/0199/heads/main";
    let update = |name: &str, old, new| Update { old, new, name: name.to_owned() };
    let updates = [
        update(name, None, Some(one.clone())),
        update("refs/heads/other", None, Some(Commit::parse(&"1".repeat(40)).unwrap())),
    ];
    let mut input = request::encode_commands(&[], &updates, "report-status side-band-64k object-format=sha1");
    input.extend(git(dir.path(), &["pack-objects", "--stdout", "--quiet"], b"").stdout);
    let output = git(dir.path(), &["receive-pack", "--stateless-rpc", "."], &input);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let mut reported = Vec::new();
    for (band, bytes) in Demux::default().feed(&output.stdout).unwrap() {
        if band == Band::Data as u8 {
            reported.extend(bytes);
        }
    }
    let report = report::decode(&reported).expect("a whole report");
    assert_eq!(report.unpack, Ok(()));
    let [taken, refused] = report.verdicts.as_slice() else { panic!("{report:?}") };
    assert_eq!(taken, &Verdict { name: name.to_owned(), result: Ok(()) });
    assert_eq!(refused.name, "refs/heads/other");
    assert!(refused.result.is_err(), "there is no such commit");
    assert_eq!(text(dir.path(), &["rev-parse", name]), one.as_str());
}

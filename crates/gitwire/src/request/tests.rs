//! Requests as git writes them, in any pieces, and what is none.

use proptest::prelude::*;

use super::*;

fn id(digit: char) -> Commit {
    Commit::parse(&digit.to_string().repeat(40)).unwrap()
}

fn lines(lines: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines {
        pkt_line::encode(line, &mut bytes);
    }
    bytes.extend_from_slice(pkt_line::FLUSH);
    bytes
}

fn read(bytes: &[u8]) -> Result<Option<(Request, Vec<u8>)>, BadRequest> {
    Reader::new().feed(bytes)
}

fn whole(bytes: &[u8]) -> (Request, Vec<u8>) {
    read(bytes).unwrap().expect("the request is whole")
}

#[test]
fn a_probe_has_no_updates() {
    assert_eq!(whole(b"0000"), (Request::default(), Vec::new()));
}

#[test]
fn a_push_of_git() {
    // As git writes it, from a shallow clone and with two options.
    let ones = "1".repeat(40);
    let command = format!(
        "{ZEROS} {ones} refs/heads/main\0 report-status-v2 side-band-64k push-options quiet \
         object-format=sha1 agent=git/2.39.5"
    );
    let shallow = format!("shallow {ones}\n");
    let tag = format!("{ones} {ZEROS} refs/tags/v1");
    let mut bytes = lines(&[shallow.as_bytes(), command.as_bytes(), tag.as_bytes()]);
    bytes.extend(lines(&[b"no-cache", b"env=staging\n"]));
    bytes.extend_from_slice(b"PACK\0\0\0\x02");

    let (request, rest) = whole(&bytes);
    assert_eq!(rest, b"PACK\0\0\0\x02");
    assert_eq!(request.shallow, [id('1')]);
    let main = Update { old: None, new: Some(id('1')), name: "refs/heads/main".to_owned() };
    let tag = Update { old: Some(id('1')), new: None, name: "refs/tags/v1".to_owned() };
    assert_eq!(request.updates, [main, tag]);
    assert_eq!(request.options, ["no-cache", "env=staging"]);
    assert!(!request.has_certificate);
    let capabilities = &request.capabilities;
    assert!(capabilities.has("quiet") && capabilities.has("side-band-64k"));
    assert!(!capabilities.has("report-status") && !capabilities.has("agent") && !capabilities.has(""));
    assert_eq!(capabilities.value("agent"), Some("git/2.39.5"));
    assert_eq!(capabilities.value("object-format"), Some("sha1"));
    assert_eq!(capabilities.value("object"), None);
}

#[test]
fn options_are_read_only_when_they_were_announced() {
    let update = Update { old: None, new: Some(id('1')), name: "refs/heads/main".to_owned() };
    let without = encode_commands(&[], std::slice::from_ref(&update), "report-status");
    assert_eq!(whole(&without).0.updates, std::slice::from_ref(&update));
    let with = encode_commands(&[], std::slice::from_ref(&update), "push-options");
    assert_eq!(read(&with), Ok(None), "they are still to come");
    let mut bytes = with;
    bytes.extend_from_slice(b"0000PACK");
    let (request, rest) = whole(&bytes);
    assert!(request.options.is_empty() && rest == b"PACK");
}

#[test]
fn a_certificate_gives_its_updates_away() {
    let command = format!("{ZEROS} {} refs/heads/main\n", "1".repeat(40));
    let bytes = lines(&[
        b"push-cert\0 report-status push-cert",
        b"certificate version 0.1\n",
        b"pusher me <me@example.com> 1 +0000\n",
        b"nonce 1\n",
        b"\n",
        command.as_bytes(),
        b"-----BEGIN PGP SIGNATURE-----\n",
        b"push-cert-end\n",
    ]);
    let (request, _) = whole(&bytes);
    assert!(request.has_certificate && request.capabilities.has("report-status"));
    assert_eq!(request.updates.len(), 1);
    assert_eq!(request.updates[0].name, "refs/heads/main");
}

#[test]
fn names_keep_what_a_rule_has_to_see() {
    let ones = "1".repeat(40);
    for (name, seen) in
        [(&b"refs/heads/a b"[..], "refs/heads/a b"), (b"\xff", "\u{fffd}"), (b"a\n\n", "a\n"), (b"", "")]
    {
        let mut line = format!("{ones} {ones} ").into_bytes();
        line.extend_from_slice(name);
        assert_eq!(whole(&lines(&[&line])).0.updates[0].name, seen);
    }
    let long = format!("{} {} refs/heads/main", "0".repeat(64), "1".repeat(64));
    let update = &whole(&lines(&[long.as_bytes()])).0.updates[0];
    assert!(update.old.is_none() && update.new.as_ref().is_some_and(|id| id.as_str().len() == 64));
}

#[test]
fn what_is_no_request() {
    let ones = "1".repeat(40);
    let bad_lines = [
        String::new(),
        "want this".to_owned(),
        format!("{ones} {ones}"),
        format!("{ones}  {ones} refs/heads/main"),
        format!("{} {ones} refs/heads/main", "0".repeat(39)),
        format!("{ones} {} refs/heads/main", "A".repeat(40)),
    ];
    for line in bad_lines {
        assert!(matches!(read(&lines(&[line.as_bytes()])), Err(BadRequest::Update(_))), "{line}");
    }
    assert!(matches!(read(&lines(&[b"shallow 1"])), Err(BadRequest::Shallow(_))));
    assert!(matches!(read(b"0001"), Err(BadRequest::Separator)));
    assert!(matches!(read(b"PACK"), Err(BadRequest::Packet(_))));
    let text = read(&lines(&["\u{1b}x".repeat(9000).as_bytes()])).unwrap_err().to_string();
    assert!(text.len() < 1500 && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn there_is_a_limit_to_everything() {
    let update = Update { old: None, new: Some(id('1')), name: "refs/tags/x".to_owned() };
    let updates = vec![update.clone(); UPDATES_MAX + 1];
    assert_eq!(whole(&encode_commands(&[], &updates[1..], "")).0.updates.len(), UPDATES_MAX);
    assert_eq!(read(&encode_commands(&[], &updates, "")), Err(BadRequest::TooManyUpdates));
    let mut reader = Reader::new();
    assert!(reader.feed(&encode_commands(&[], &updates, "report-status")).is_err());
    let so_far = reader.so_far();
    assert!(so_far.updates.len() == UPDATES_MAX && so_far.capabilities.has("report-status"));

    let options = vec![&b"no-cache"[..]; OPTIONS_MAX + 1];
    let announced = encode_commands(&[], &[update], "push-options");
    let with = |options: &[&[u8]]| [announced.clone(), lines(options)].concat();
    assert_eq!(whole(&with(&options[1..])).0.options.len(), OPTIONS_MAX);
    assert_eq!(read(&with(&options)), Err(BadRequest::TooManyOptions));

    // No end in sight, whether in whole packets or in one that never ends.
    let shallow = encode_commands(&vec![id('1'); PREFIX_MAX / 40], &[], "");
    assert_eq!(read(&shallow), Err(BadRequest::TooLong));
    let mut reader = Reader::new();
    let mut fed = 0;
    let refused = shallow.chunks(1000).find_map(|chunk| {
        fed += chunk.len();
        reader.feed(chunk).err()
    });
    assert_eq!(refused, Some(BadRequest::TooLong));
    assert!(fed <= PREFIX_MAX + 1000, "{fed}");
    let pack = vec![b'x'; 2 * PREFIX_MAX];
    assert_eq!(whole(&[b"0000", &pack[..]].concat()).1.len(), pack.len(), "the pack does not count");
}

fn commit() -> impl Strategy<Value = Option<Commit>> {
    prop::option::of("[0-9a-f]{39}[1-9a-f]".prop_map(|id| Commit::parse(&id).unwrap()))
}

proptest! {
    #[test]
    fn any_request_is_read_back_from_any_pieces(
        shallow in prop::collection::vec(commit(), 0..3),
        updates in prop::collection::vec((commit(), commit(), "refs/[a-zA-Z0-9 /é-]{0,30}[a-z]"), 1..6),
        size in 1..80_usize,
        pack in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let shallow: Vec<Commit> = shallow.into_iter().flatten().collect();
        let updates: Vec<Update> =
            updates.into_iter().map(|(old, new, name)| Update { old, new, name }).collect();
        let mut bytes = encode_commands(&shallow, &updates, "report-status quiet");
        bytes.extend_from_slice(&pack);
        let (mut reader, mut read, mut behind) = (Reader::new(), None, Vec::new());
        for piece in bytes.chunks(size) {
            if read.is_some() {
                behind.extend_from_slice(piece);
            } else if let Some((request, rest)) = reader.feed(piece).unwrap() {
                read = Some(request);
                behind = rest;
            }
        }
        let read = read.unwrap();
        prop_assert_eq!(read.shallow, shallow);
        prop_assert_eq!(read.updates, updates);
        prop_assert!(read.capabilities.has("quiet"));
        prop_assert_eq!(behind, pack);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut line = Vec::new();
        pkt_line::encode(&bytes, &mut line);
        for bytes in [bytes, line] {
            Reader::new().feed(&bytes).ok();
        }
    }
}

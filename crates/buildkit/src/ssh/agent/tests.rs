//! What the agent says to what.

use ring::signature::{ED25519, UnparsedPublicKey};

use super::super::key::tests::{a_p256, an_ed25519};
use super::*;

fn sign_request(key: &Key, data: &[u8]) -> Vec<u8> {
    [vec![SIGN_REQUEST], string(&key.public), string(data), 0_u32.to_be_bytes().to_vec()].concat()
}

#[test]
fn it_lists_its_key_and_signs_with_it() {
    let (file, public) = an_ed25519();
    let key = Key::parse(file.as_bytes()).unwrap();
    let blob = [string(b"ssh-ed25519"), string(&public)].concat();
    let listed = [vec![IDENTITIES], 1_u32.to_be_bytes().to_vec(), string(&blob), string(b"slipway")].concat();
    assert_eq!(answer(&key, &[REQUEST_IDENTITIES]), string(&listed));

    let answered = answer(&key, &sign_request(&key, b"a session"));
    let message = Fields(&answered).string().unwrap();
    assert_eq!((message[0], message.len()), (SIGNATURE, answered.len() - 4));
    let mut signature = Fields(Fields(&message[1..]).string().unwrap());
    assert_eq!(signature.string().unwrap(), b"ssh-ed25519");
    let signed = signature.string().unwrap();
    UnparsedPublicKey::new(&ED25519, public).verify(b"a session", signed).unwrap();
}

#[test]
fn it_does_nothing_else() {
    let key = Key::parse(an_ed25519().0.as_bytes()).unwrap();
    let other = Key::parse(a_p256().0.as_bytes()).unwrap();
    let add = [17, 0, 0, 0, 0];
    let whole = sign_request(&key, b"x");
    let extension = [vec![27], string(b"session-bind@openssh.com")].concat();
    let cut = [&whole[..20], &whole[..whole.len() - 1]];
    for message in [&[][..], &[0], &add, cut[0], cut[1], &sign_request(&other, b"x"), &extension] {
        assert_eq!(answer(&key, message), string(&[FAILURE]), "{message:?}");
    }
}

#[test]
fn messages_come_in_any_pieces() {
    let sent = [string(b"one"), string(b""), string(b"three")].concat();
    for size in 1..=sent.len() {
        let (mut messages, mut read) = (Messages::default(), Vec::new());
        for piece in sent.chunks(size) {
            messages.feed(piece);
            while let Some(message) = messages.next().unwrap() {
                read.push(message);
            }
        }
        assert_eq!(read, [&b"one"[..], b"", b"three"], "{size}");
    }
    let mut messages = Messages::default();
    messages.feed(&[0, 0, 128, 1]);
    assert_eq!(messages.next(), Err(TooLong));
}

//! Keys as `ssh-keygen` writes them.

use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, KeyPair as _,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey,
};

use super::*;

/// Made for these tests, and without its first and last line: `ssh-keygen -t rsa -b 2048 -N ''`.
const RSA: &str = include_str!("tests/rsa.base64");
/// `ssh-keygen -t ecdsa -b 384 -N ''`
const P384: &str = include_str!("tests/p384.base64");
/// `ssh-keygen -t ed25519 -N secret`
const LOCKED: &str = include_str!("tests/locked.base64");

/// A private key file without a passphrase: `public` and `private` are the fields of both parts after the key's type.
fn file(kind: &str, public: &[Vec<u8>], private: &[Vec<u8>]) -> String {
    let kind = string(kind.as_bytes());
    let check = [7; 8];
    let mut secret = [check.to_vec(), kind.clone(), private.concat(), string(b"a comment")].concat();
    let missing = (8 - secret.len() % 8) % 8;
    secret.extend((1..).take(missing));
    let public = [kind, public.concat()].concat();
    let parts = [
        MAGIC.to_vec(),
        string(b"none"),
        string(b"none"),
        string(b""),
        1_u32.to_be_bytes().to_vec(),
        string(&public),
        string(&secret),
    ];
    let encoded = BASE64_STANDARD.encode(parts.concat());
    let lines: Vec<&str> = encoded.as_bytes().chunks(70).map(|it| str::from_utf8(it).unwrap()).collect();
    enclosed(&lines.join("\n"))
}

fn enclosed(encoded: &str) -> String {
    format!("{BEGIN}\n{}\n{END}\n", encoded.trim_end())
}

/// The file of a key, and its public key.
pub(in crate::ssh) fn an_ed25519() -> (String, Vec<u8>) {
    let seed = [42; 32];
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
    let public = pair.public_key().as_ref().to_vec();
    let private = [seed.to_vec(), public.clone()].concat();
    (file("ssh-ed25519", &[string(&public)], &[string(&public), string(&private)]), public)
}

pub(in crate::ssh) fn a_p256() -> (String, Vec<u8>) {
    let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    // Where both lie in a document that ring makes.
    let (private, public) = (&made.as_ref()[36..68], made.as_ref()[73..].to_vec());
    let fields = [string(b"nistp256"), string(&public)];
    let file = file("ecdsa-sha2-nistp256", &fields, &[&fields[..], &[number(private)]].concat());
    (file, public)
}

/// What the key signs: the kind of the signature and its bytes.
fn signed(key: &Key, data: &[u8], flags: u32) -> (Vec<u8>, Vec<u8>) {
    let signature = key.sign(data, flags).unwrap();
    let mut fields = Fields(&signature);
    (fields.string().unwrap().to_vec(), fields.string().unwrap().to_vec())
}

#[test]
fn ed25519_signs() {
    let (file, public) = an_ed25519();
    for file in [file.clone(), file.replace('\n', "\r\n"), format!("\n{}", file.trim_end())] {
        let key = Key::parse(file.as_bytes()).unwrap();
        let (kind, signed) = signed(&key, b"a session", 0);
        assert_eq!(kind, b"ssh-ed25519");
        UnparsedPublicKey::new(&ED25519, &public).verify(b"a session", &signed).unwrap();
    }
}

#[test]
fn signatures_of_curves_are_two_numbers() {
    let (file, public) = a_p256();
    let key = Key::parse(file.as_bytes()).unwrap();
    // Numbers of many lengths.
    for round in 0..64_u8 {
        let (kind, signed) = signed(&key, &[round], 0);
        assert_eq!(kind, b"ecdsa-sha2-nistp256");
        let mut fields = Fields(&signed);
        let halves = [fields.number().unwrap(), fields.number().unwrap()];
        let fixed: Vec<u8> =
            halves.into_iter().flat_map(|it| [vec![0; 32 - it.len()], it.to_vec()].concat()).collect();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &public).verify(&[round], &fixed).unwrap();
    }
    assert_eq!(signed(&Key::parse(enclosed(P384).as_bytes()).unwrap(), b"x", 0).0, b"ecdsa-sha2-nistp384");
}

#[test]
fn rsa_signs_with_the_hash_that_is_asked_for() {
    let key = Key::parse(enclosed(RSA).as_bytes()).unwrap();
    let mut public = Fields(&key.public);
    assert_eq!(public.string().unwrap(), b"ssh-rsa");
    let (e, n) = (public.number().unwrap(), public.number().unwrap());
    let components = PublicKeyComponents { n, e };
    for (flags, kind, algorithm) in [
        (RSA_SHA2_256, &b"rsa-sha2-256"[..], &RSA_PKCS1_2048_8192_SHA256),
        (RSA_SHA2_512, b"rsa-sha2-512", &RSA_PKCS1_2048_8192_SHA512),
    ] {
        let (said, signed) = signed(&key, b"a session", flags);
        assert_eq!(said, kind);
        components.verify(algorithm, b"a session", &signed).unwrap();
    }
    assert_eq!(key.sign(b"a session", 0), None, "SHA-1");
}

#[test]
fn exponents_are_remainders() {
    let remainder = |d: u64, prime: u64| {
        let rest = exponent(&d.to_be_bytes(), &prime.to_be_bytes());
        rest.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
    };
    for d in [0, 1, 255, 256, 65_536, u64::MAX] {
        for prime in [3, 5, 257, 65_537, 4_294_967_291, u64::MAX] {
            assert_eq!(remainder(d, prime), d % (prime - 1), "{d} {prime}");
        }
    }
}

#[test]
fn what_is_no_key_says_why() {
    let why = |secret: &str| Key::parse(secret.as_bytes()).map(|_| ()).unwrap_err();
    assert_eq!(why(&enclosed(LOCKED)), BadKey::Passphrase);
    assert_eq!(why(&file("ssh-dss", &[], &[])), BadKey::Type("ssh-dss".to_owned()));
    let short: Vec<_> =
        [&[0xff; 128][..], &[1, 0, 1], &[3; 128], &[3], &[0xff; 64], &[0xff; 64]].map(number).into();
    assert_eq!(why(&file("ssh-rsa", &[], &short)), BadKey::Type("RSA with 1024 bits".to_owned()));
    let rsa = |n: usize, d: usize| {
        let numbers = [&vec![0xff; n][..], &[1, 0, 1], &vec![3; d], &[3], &[0xff; 128], &[0xff; 128]];
        file("ssh-rsa", &[], &numbers.map(number))
    };
    assert_eq!(why(&rsa(1024, 1024)), BadKey::Type("RSA with 8192 bits".to_owned()));
    let (damaged, endless) = (rsa(256, 256), rsa(256, 300));
    let (cut, odd) = (enclosed(&RSA[..68]), enclosed(&RSA[..70]));
    let strange = file("an\nescape", &[], &[]);
    let public = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ ann@example";
    let older = enclosed(RSA).replace("OPENSSH", "RSA");
    for other in ["", "s3cr3t", public, BEGIN, &cut, &odd, &strange, &older, &damaged, &endless] {
        assert_eq!(why(other), BadKey::Format, "{other}");
    }
}

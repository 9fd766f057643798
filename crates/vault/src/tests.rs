//! Sealing, opening, replacing a key, hashing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use secrecy::ExposeSecret as _;

use super::*;

fn line(byte: u8) -> String {
    STANDARD.encode([byte; 32])
}

fn vault(keys: &[u8]) -> Vault {
    let lines: Vec<String> = keys.iter().map(|byte| line(*byte)).collect();
    Vault::parse(&lines.join("\n")).unwrap()
}

fn place(name: &str) -> Place<'_> {
    Place { app: Uuid::from_u128(1), environment: None, name }
}

#[test]
fn what_is_sealed_opens_at_its_place_only() {
    let vault = vault(&[1]);
    let sealed = vault.seal(place("TOKEN"), b"value").unwrap();
    assert!(!sealed.windows(5).any(|bytes| bytes == b"value"));
    assert_ne!(sealed, vault.seal(place("TOKEN"), b"value").unwrap(), "a nonce is used once");
    assert_eq!(vault.open(place("TOKEN"), &sealed).unwrap().expose_secret(), b"value");
    let here = place("TOKEN");
    for elsewhere in [
        Place { name: "TOKE", ..here },
        Place { app: Uuid::from_u128(2), ..here },
        Place { environment: Some(""), ..here },
        Place { environment: Some("TOKEN"), name: "", ..here },
    ] {
        assert_eq!(vault.open(elsewhere, &sealed).unwrap_err(), OpenError::Damaged, "{elsewhere:?}");
    }
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert!(vault.open(here, &changed).is_err(), "byte {at}");
        assert!(vault.open(here, &sealed[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn a_key_is_replaced() {
    let (old, both, new) = (vault(&[1]), vault(&[2, 1]), vault(&[2]));
    let sealed = old.seal(place("TOKEN"), b"value").unwrap();
    assert!(old.is_current(&sealed) && !both.is_current(&sealed));
    assert_eq!(both.open(place("TOKEN"), &sealed).unwrap().expose_secret(), b"value");
    assert_eq!(new.open(place("TOKEN"), &sealed).unwrap_err(), OpenError::UnknownKey);
    let again = both.seal(place("TOKEN"), b"value").unwrap();
    assert_eq!(new.open(place("TOKEN"), &again).unwrap().expose_secret(), b"value");
    assert_eq!(new.hash(Uuid::nil(), "A", b"v"), both.hash(Uuid::nil(), "A", b"v"));
    assert_ne!(old.hash(Uuid::nil(), "A", b"v"), both.hash(Uuid::nil(), "A", b"v"));
}

#[test]
fn a_hash_tells_values_names_and_applications_apart() {
    let vault = vault(&[1]);
    let (app, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let hash = vault.hash(app, "TOKEN", b"value");
    assert_eq!(hash, vault.hash(app, "TOKEN", b"value"));
    assert_eq!(hash.len(), 64);
    for another in [
        vault.hash(app, "TOKEN", b"valuf"),
        vault.hash(app, "TOKE", b"Nvalue"),
        vault.hash(other, "TOKEN", b"value"),
        super::tests::vault(&[2]).hash(app, "TOKEN", b"value"),
    ] {
        assert_ne!(hash, another);
    }
}

#[test]
fn key_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let missing = format!("{:#}", Vault::load(&path).unwrap_err());
    assert!(
        missing.contains("openssl rand -base64 32") && missing.contains("SLIPWAY_VAULT_KEY"),
        "{missing}"
    );
    std::fs::write(&path, format!("\n {} \n{}\n", line(1), line(2))).unwrap();
    let sealed = vault(&[2]).seal(place("A"), b"value").unwrap();
    assert!(Vault::load(&path).unwrap().open(place("A"), &sealed).is_ok());
    let short = STANDARD.encode([7; 31]);
    for (text, fault) in
        [("\n", "no key"), ("secret!", "base64"), (&short, "31 bytes"), (&line(1).repeat(2), "base64")]
    {
        let error = format!("{:#}", Vault::parse(text).unwrap_err());
        assert!(error.contains(fault), "{error}");
        assert!(text.trim().is_empty() || !error.contains(text), "it is told: {error}");
    }
    assert!(Vault::parse(&format!("{}\n", line(1)).repeat(17)).is_err());
    assert!(!format!("{:?}", vault(&[7])).contains("BwcH"));
}

proptest! {
    #[test]
    fn every_value_comes_back(value in prop::collection::vec(any::<u8>(), 0..300), name in ".{0,20}", env in prop::option::of(".{0,9}")) {
        let vault = vault(&[1]);
        let place = Place { app: Uuid::from_u128(3), environment: env.as_deref(), name: &name };
        let sealed = vault.seal(place, &value).unwrap();
        let opened = vault.open(place, &sealed).unwrap();
        prop_assert_eq!(opened.expose_secret(), &value[..]);
    }
}

//! One key of the vault: what is derived from it, and the form of what it seals.
//!
//! Sealed: a version (1 byte), the key's id (8), a nonce (12), then the value under AES-256-GCM with its tag (16).

use std::fmt;

use anyhow::{Result, anyhow, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{self, HKDF_SHA256, KeyType, Prk, Salt};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use secrecy::SecretSlice;
use zeroize::Zeroizing;

const KEY_LEN: usize = 32;
const VERSION: u8 = 1;
const ID_LEN: usize = 8;
const HEADER_LEN: usize = 1 + ID_LEN;
/// What each derived key is for; changing one makes everything unreadable.
const SEALING: &[u8] = b"slipway vault: sealing";
const HASHING: &[u8] = b"slipway vault: hashing of ";
const NAMING: &[u8] = b"slipway vault: id";

pub(crate) struct Key {
    /// Tells which key sealed something, and nothing else about it.
    id: [u8; ID_LEN],
    aead: LessSafeKey,
    root: Prk,
}

/// The length of what is derived.
struct Len(usize);

impl KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

/// A key as a line of a key file has it.
pub(crate) fn parse(line: &str) -> Result<Key> {
    // What it says of a wrong line would hold parts of it.
    let bytes = STANDARD.decode(line).map(Zeroizing::new).map_err(|_| anyhow!("it is not base64"))?;
    ensure!(bytes.len() == KEY_LEN, "it has {} bytes, not {KEY_LEN}", bytes.len());
    let root = Salt::new(HKDF_SHA256, &[]).extract(&bytes);
    let mut id = [0; ID_LEN];
    derive(&root, &[NAMING], &mut id)?;
    let mut sealing = Zeroizing::new([0; KEY_LEN]);
    derive(&root, &[SEALING], &mut *sealing)?;
    let aead = UnboundKey::new(&AES_256_GCM, &*sealing).map_err(|_| anyhow!("it is no key of AES-256"))?;
    Ok(Key { id, aead: LessSafeKey::new(aead), root })
}

fn derive(root: &Prk, info: &[&[u8]], out: &mut [u8]) -> Result<()> {
    let derived = root.expand(info, Len(out.len())).and_then(|okm: hkdf::Okm<'_, Len>| okm.fill(out));
    derived.map_err(|_| anyhow!("no key can be derived from it"))
}

impl Key {
    /// The nonce is random: 2^32 values may be sealed before two of them are likely to have the same.
    pub(crate) fn seal(&self, random: &SystemRandom, place: &[u8], value: &[u8]) -> Result<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut nonce).map_err(|_| anyhow!("the system gives no random bytes"))?;
        let mut sealed = value.to_vec();
        let tag = self.aead.seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(place),
            &mut sealed,
        );
        let tag = tag.map_err(|_| anyhow!("a value of {} bytes cannot be sealed", value.len()))?;
        Ok([&[VERSION], &self.id[..], &nonce, &sealed, tag.as_ref()].concat())
    }

    pub(crate) fn has_sealed(&self, sealed: &[u8]) -> bool {
        sealed.first() == Some(&VERSION) && sealed.get(1..HEADER_LEN) == Some(&self.id[..])
    }

    pub(crate) fn open(&self, place: &[u8], sealed: &[u8]) -> Option<SecretSlice<u8>> {
        let (nonce, body) = sealed.get(HEADER_LEN..)?.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        // Opened where it lies, and wiped when it goes.
        let mut body = Zeroizing::new(body.to_vec());
        let value = self.aead.open_in_place(nonce, Aad::from(place), &mut body).ok()?;
        Some(SecretSlice::from(value.to_vec()))
    }

    /// With a key of the application's own, so that equal values of two applications have nothing in common.
    pub(crate) fn hash(&self, app: &[u8], name: &[u8], value: &[u8]) -> hmac::Tag {
        let key = self.root.expand(&[HASHING, app], hmac::HMAC_SHA256).map(hmac::Key::from);
        let key = key.expect("HKDF gives a key of HMAC's own length");
        let mut hash = hmac::Context::with_key(&key);
        hash.update(&(name.len() as u64).to_be_bytes());
        hash.update(name);
        hash.update(value);
        hash.sign()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &hex::encode(self.id)).finish_non_exhaustive()
    }
}

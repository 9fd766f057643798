//! A private key in OpenSSH's format, and what it signs.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::rand::SystemRandom;
use ring::rsa::{self, KeyPairComponents, PublicKeyComponents};
use ring::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair};
use zeroize::Zeroizing;

use super::wire::{Fields, number, string};

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// The hash that a client wants an RSA key to use; without either it wants SHA-1, which no server takes any more.
const RSA_SHA2_256: u32 = 2;
const RSA_SHA2_512: u32 = 4;
/// How many bytes an RSA key may have.
const RSA_SIZES: [usize; 3] = [256, 384, 512];

/// Why a secret cannot be an SSH key. No line of a key is quoted: the log leaves those out.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadKey {
    #[error(
        "it is no private key as `ssh-keygen -t ed25519` makes one (`ssh-keygen -p -f KEY` brings one of another format into its own)"
    )]
    Format,
    #[error("it has a passphrase: set a key without one, such as `ssh-keygen -t ed25519 -N ''` makes")]
    Passphrase,
    #[error(
        "it is of type {0}: set one of type ed25519, ECDSA with nistp256 or nistp384, or RSA with 2048, 3072 or 4096 bits"
    )]
    Type(String),
}

/// A key that signs.
pub(crate) struct Key {
    /// Its public half as it goes over the wire.
    pub(super) public: Vec<u8>,
    signer: Signer,
}

enum Signer {
    Ed25519(Ed25519KeyPair),
    Ecdsa(&'static str, EcdsaKeyPair),
    Rsa(Box<rsa::KeyPair>),
}

impl Key {
    pub(crate) fn parse(secret: &[u8]) -> Result<Key, BadKey> {
        let file = decoded(secret).ok_or(BadKey::Format)?;
        let mut fields = private_fields(&file)?;
        let kind = fields.string().and_then(|it| str::from_utf8(it).ok()).ok_or(BadKey::Format)?;
        match kind {
            "ssh-ed25519" => ed25519(&mut fields).ok_or(BadKey::Format),
            "ecdsa-sha2-nistp256" => {
                let algorithm = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
                ecdsa("ecdsa-sha2-nistp256", algorithm, 32, &mut fields).ok_or(BadKey::Format)
            }
            "ecdsa-sha2-nistp384" => {
                let algorithm = &signature::ECDSA_P384_SHA384_FIXED_SIGNING;
                ecdsa("ecdsa-sha2-nistp384", algorithm, 48, &mut fields).ok_or(BadKey::Format)
            }
            "ssh-rsa" => of_rsa(&mut fields),
            other if other.len() <= 64 && other.bytes().all(|it| it.is_ascii_graphic()) => {
                Err(BadKey::Type(other.to_owned()))
            }
            _ => Err(BadKey::Format),
        }
    }

    /// As `ssh` wants a signature: its kind, then the bytes. `None`: not with these `flags`, or the randomness that it
    /// takes is missing.
    pub(super) fn sign(&self, data: &[u8], flags: u32) -> Option<Vec<u8>> {
        let (kind, bytes) = match &self.signer {
            Signer::Ed25519(pair) => ("ssh-ed25519", pair.sign(data).as_ref().to_vec()),
            Signer::Ecdsa(kind, pair) => {
                let signed = pair.sign(&SystemRandom::new(), data).ok()?;
                let (r, s) = signed.as_ref().split_at(signed.as_ref().len() / 2);
                (*kind, [number(r), number(s)].concat())
            }
            Signer::Rsa(pair) => {
                let (kind, padding): (_, &dyn signature::RsaEncoding) = match flags {
                    it if it & RSA_SHA2_256 != 0 => ("rsa-sha2-256", &signature::RSA_PKCS1_SHA256),
                    it if it & RSA_SHA2_512 != 0 => ("rsa-sha2-512", &signature::RSA_PKCS1_SHA512),
                    _ => return None,
                };
                let mut bytes = vec![0; pair.public().modulus_len()];
                pair.sign(padding, &SystemRandom::new(), data, &mut bytes).ok()?;
                (kind, bytes)
            }
        };
        Some([string(kind.as_bytes()), string(&bytes)].concat())
    }
}

fn decoded(secret: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text = str::from_utf8(secret).ok()?.trim();
    let encoded = text.strip_prefix(BEGIN)?.strip_suffix(END)?;
    let encoded: Zeroizing<String> = Zeroizing::new(encoded.split_whitespace().collect());
    BASE64_STANDARD.decode(encoded.as_bytes()).ok().map(Zeroizing::new)
}

/// The fields of the one key of a file, its type first.
fn private_fields(file: &[u8]) -> Result<Fields<'_>, BadKey> {
    let mut fields = Fields(file.strip_prefix(MAGIC).ok_or(BadKey::Format)?);
    let cipher = fields.string().ok_or(BadKey::Format)?;
    if cipher != b"none" {
        return Err(BadKey::Passphrase);
    }
    let mut private = || {
        let _derivation = (fields.string()?, fields.string()?);
        let count = fields.count()?;
        let _public = fields.string()?;
        let mut private = Fields(fields.string()?);
        let checks = (private.count()?, private.count()?);
        (count == 1 && checks.0 == checks.1).then_some(private)
    };
    private().ok_or(BadKey::Format)
}

fn ed25519(fields: &mut Fields<'_>) -> Option<Key> {
    let (public, both) = (fields.string()?, fields.string()?);
    let pair = Ed25519KeyPair::from_seed_and_public_key(both.get(..32)?, public).ok()?;
    let public = [string(b"ssh-ed25519"), string(public)].concat();
    Some(Key { public, signer: Signer::Ed25519(pair) })
}

/// A private key of this curve has `size` bytes.
fn ecdsa(
    kind: &'static str,
    algorithm: &'static EcdsaSigningAlgorithm,
    size: usize,
    fields: &mut Fields<'_>,
) -> Option<Key> {
    let (curve, point, private) = (fields.string()?, fields.string()?, fields.number()?);
    let mut padded = Zeroizing::new(vec![0; size.checked_sub(private.len())?]);
    padded.extend_from_slice(private);
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::from_private_key_and_public_key(algorithm, &padded, point, &random).ok()?;
    let public = [string(kind.as_bytes()), string(curve), string(point)].concat();
    Some(Key { public, signer: Signer::Ecdsa(kind, pair) })
}

fn of_rsa(fields: &mut Fields<'_>) -> Result<Key, BadKey> {
    let mut read = || fields.number().filter(|it| !it.is_empty()).ok_or(BadKey::Format);
    let (n, e, d, q_inverse, p, q) = (read()?, read()?, read()?, read()?, read()?, read()?);
    if !RSA_SIZES.contains(&n.len()) {
        return Err(BadKey::Type(format!("RSA with {} bits", n.len() * 8)));
    }
    // A secret may be large, and an exponent of it would take minutes.
    if [d, p, q].iter().any(|it| it.len() > n.len()) {
        return Err(BadKey::Format);
    }
    let components = KeyPairComponents {
        public_key: PublicKeyComponents { n, e },
        d,
        p,
        q,
        dP: &*exponent(d, p),
        dQ: &*exponent(d, q),
        qInv: q_inverse,
    };
    let pair = rsa::KeyPair::from_components(&components).map_err(|_| BadKey::Format)?;
    let public = [string(b"ssh-rsa"), number(e), number(n)].concat();
    Ok(Key { public, signer: Signer::Rsa(Box::new(pair)) })
}

/// `d` modulo `prime` - 1: OpenSSH's format leaves it out. Both big-endian; a bit at a time.
fn exponent(d: &[u8], prime: &[u8]) -> Zeroizing<Vec<u8>> {
    // A prime is odd.
    let mut divisor = Zeroizing::new(prime.to_vec());
    divisor.iter_mut().rev().take(1).for_each(|last| *last &= !1);
    divisor.insert(0, 0);
    let mut rest = Zeroizing::new(vec![0_u8; divisor.len()]);
    for bit in d.iter().flat_map(|byte| (0..8).rev().map(move |shift| byte >> shift & 1)) {
        let mut carry = bit;
        for byte in rest.iter_mut().rev() {
            (*byte, carry) = (*byte << 1 | carry, *byte >> 7);
        }
        if *rest >= *divisor {
            let mut borrowed = false;
            for (byte, less) in rest.iter_mut().zip(divisor.iter()).rev() {
                let (one, below) = byte.overflowing_sub(*less);
                let (both, again) = one.overflowing_sub(u8::from(borrowed));
                (*byte, borrowed) = (both, below || again);
            }
        }
    }
    rest.remove(0);
    rest
}

#[cfg(test)]
pub(super) mod tests;

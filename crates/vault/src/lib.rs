//! Secrets as they lie in the database: sealed with a key that is not there. And their hashes, which are safe to show.
//!
//! A key file holds keys of 32 random bytes in base64, one a line. The first one seals; all of them open. To replace a
//! key, put the new one before it, and take the old one out once nothing is sealed with it any more.

mod key;
#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use ring::rand::SystemRandom;
use secrecy::SecretSlice;
use uuid::Uuid;
use zeroize::Zeroizing;

use key::Key;

/// A key file is a few lines.
const FILE_MAX: u64 = 64 << 10;
const KEYS_MAX: usize = 16;

#[derive(Debug)]
pub struct Vault {
    /// At least one.
    keys: Vec<Key>,
    random: SystemRandom,
}

/// What a secret belongs to. It cannot be opened as another one's.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub app: Uuid,
    /// `None`: every environment that has none of its own.
    pub environment: Option<&'a str>,
    pub name: &'a str,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error(
        "it was sealed with a key that the vault's key file does not hold: put that key back as its last line"
    )]
    UnknownKey,
    #[error("it was changed, or belongs to something else: set it again")]
    Damaged,
}

impl Vault {
    pub fn load(path: &Path) -> Result<Vault> {
        let read = || -> Result<Vault> {
            let size = std::fs::metadata(path)?.len();
            ensure!(size <= FILE_MAX, "it has {size} bytes, which no key file has");
            Vault::parse(&Zeroizing::new(std::fs::read_to_string(path)?))
        };
        read().with_context(|| {
            format!(
                "reading the vault's key from {}; make one with `openssl rand -base64 32` and give its path as SLIPWAY_VAULT_KEY",
                path.display()
            )
        })
    }

    /// Of a key file's text.
    pub fn parse(text: &str) -> Result<Vault> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let keys = lines
            .enumerate()
            .map(|(n, line)| key::parse(line).with_context(|| format!("its key number {}", n + 1)))
            .collect::<Result<Vec<_>>>()?;
        match keys.len() {
            0 => bail!("it holds no key"),
            1..=KEYS_MAX => Ok(Vault { keys, random: SystemRandom::new() }),
            many => bail!("it holds {many} keys, which is more than {KEYS_MAX}"),
        }
    }

    pub fn seal(&self, place: Place<'_>, value: &[u8]) -> Result<Vec<u8>> {
        self.keys[0].seal(&self.random, &place.to_bytes(), value)
    }

    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<SecretSlice<u8>, OpenError> {
        let key = self.keys.iter().find(|key| key.has_sealed(sealed)).ok_or(OpenError::UnknownKey)?;
        key.open(&place.to_bytes(), sealed).ok_or(OpenError::Damaged)
    }

    /// Whether it was sealed with the first key.
    pub fn is_current(&self, sealed: &[u8]) -> bool {
        self.keys[0].has_sealed(sealed)
    }

    /// What stands for a value where others may look: equal for equal values of this name in this application, and
    /// nothing can be learned from it without the key. It changes with the first key.
    pub fn hash(&self, app: Uuid, name: &str, value: &[u8]) -> String {
        hex::encode(self.keys[0].hash(app.as_bytes(), name.as_bytes(), value))
    }
}

impl Place<'_> {
    /// No two places have the same: what varies in length has its length before it.
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = self.app.as_bytes().to_vec();
        bytes.push(u8::from(self.environment.is_some()));
        for text in [self.environment.unwrap_or_default(), self.name] {
            bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes
    }
}

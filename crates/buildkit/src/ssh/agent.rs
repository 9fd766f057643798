//! The SSH agent of a build: it lists the one key that it has and signs with it. The key itself is in no answer. Pure.

use super::key::Key;
use super::wire::{Fields, string};

/// What is to be signed for a session has some kilobytes at most. A step may begin a message on each of a thousand
/// connections, and each is kept until it is whole.
const MESSAGE_MAX: usize = 32 << 10;

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGNATURE: u8 = 14;

/// The messages of a stream of bytes.
#[derive(Debug, Default)]
pub(crate) struct Messages(Vec<u8>);

/// No agent speaks like this.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Messages {
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next one that is whole.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>, TooLong> {
        let Some((length, rest)) = self.0.split_first_chunk::<4>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > MESSAGE_MAX {
            return Err(TooLong);
        }
        let Some(message) = rest.get(..length).map(<[u8]>::to_vec) else { return Ok(None) };
        self.0.drain(..4 + length);
        Ok(Some(message))
    }
}

/// What the agent says to a message, ready to be sent.
pub(crate) fn answer(key: &Key, message: &[u8]) -> Vec<u8> {
    let answer = match message.split_first() {
        Some((&REQUEST_IDENTITIES, _)) => Some(identities(key)),
        Some((&SIGN_REQUEST, request)) => signed(key, request),
        // What would add, remove or lock keys: there is nothing to be changed here. What a client adds to the protocol
        // it does without.
        _ => None,
    };
    string(&answer.unwrap_or_else(|| vec![FAILURE]))
}

fn identities(key: &Key) -> Vec<u8> {
    let one = 1_u32.to_be_bytes();
    [&[IDENTITIES][..], &one, &string(&key.public), &string(b"slipway")].concat()
}

/// `None`: with a key that it has not, or it is no request.
fn signed(key: &Key, request: &[u8]) -> Option<Vec<u8>> {
    let mut request = Fields(request);
    let (public, data, flags) = (request.string()?, request.string()?, request.count()?);
    let signature = (public == key.public).then(|| key.sign(data, flags)).flatten()?;
    Some([vec![SIGNATURE], string(&signature)].concat())
}

#[cfg(test)]
mod tests;

//! Redaction of output that arrives in pieces, wherever it is cut.

use std::borrow::Cow;

use crate::Redactor;
use crate::find::{Finder, Region};
use crate::form::is_line_end;

/// A line that is longer is given in parts. What of it could still become a secret is held back.
const HELD_MAX: usize = 64 << 10;

/// One step's output on one descriptor. It gives a line when the line has ended, by a line feed or a carriage return, and
/// parts of one that is very long.
#[derive(Debug)]
pub struct Stream {
    redactor: Redactor,
    held: Vec<u8>,
    /// So many bytes at the start of `held` belong to a secret that was replaced already.
    masked: usize,
}

impl Stream {
    pub(crate) const fn new(redactor: Redactor) -> Stream {
        Stream { redactor, held: Vec::new(), masked: 0 }
    }

    /// What is certain by now; the rest comes with a later piece, or with [`Stream::finish`].
    pub fn push<'b>(&mut self, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        let redactor = self.redactor.clone();
        let Some(finder) = &redactor.shared.finder else { return Cow::Borrowed(bytes) };
        let mut out = Vec::with_capacity(bytes.len());
        let held_max = HELD_MAX + 2 * finder.horizon();
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = held_max - self.held.len();
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.held.extend_from_slice(now);
            rest = later;
            // No form of a secret goes over the end of a line.
            let ended = now.iter().rposition(|byte| is_line_end(*byte));
            if let Some(at) = ended {
                let until = self.held.len() - now.len() + at + 1;
                self.give(finder, until, until, &mut out);
            }
            if self.held.len() == held_max {
                self.give(finder, held_max, held_max - finder.horizon(), &mut out);
            }
        }
        Cow::Owned(out)
    }

    /// The rest, when no more comes.
    pub fn finish(&mut self) -> Vec<u8> {
        let redactor = self.redactor.clone();
        let mut out = Vec::new();
        if let Some(finder) = &redactor.shared.finder {
            self.give(finder, self.held.len(), self.held.len(), &mut out);
        }
        out
    }

    /// Gives the first `until` of the first `seen` bytes that are held: what begins in them is known for certain.
    fn give(&mut self, finder: &Finder, seen: usize, until: usize, out: &mut Vec<u8>) {
        let mut from = 0;
        let mut masked = 0;
        for region in with_mask(finder.find(&self.held[..seen]), self.masked) {
            if region.start >= until {
                break;
            }
            out.extend_from_slice(&self.held[from..region.start]);
            if !region.secrets.is_empty() {
                out.extend_from_slice(self.redactor.replace(&region).as_bytes());
            }
            from = region.end.min(until);
            masked = region.end - from;
        }
        out.extend_from_slice(&self.held[from..until]);
        self.held.drain(..until);
        self.masked = masked;
    }
}

/// The regions, with the first `masked` bytes as one that names no secret, because its replacement was given already.
fn with_mask(regions: Vec<Region>, masked: usize) -> Vec<Region> {
    if masked == 0 {
        return regions;
    }
    let mut mask = Region { start: 0, end: masked, secrets: Vec::new() };
    let mut apart = Vec::with_capacity(regions.len() + 1);
    for region in regions {
        if region.start < mask.end {
            mask.end = mask.end.max(region.end);
        } else {
            apart.push(region);
        }
    }
    apart.insert(0, mask);
    apart
}

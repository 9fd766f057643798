//! Where in a text the forms of secrets are. Short anchors are searched for, all at once; what is around one decides.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use aho_corasick::AhoCorasick;

use crate::form::{self, Form};

/// A form that breaks over lines and is longer counts from a part of it on.
const PART_MIN: usize = 48;
/// Every other one is looked for as a whole up to this length, and longer ones by their parts too.
const WHOLE_MAX: usize = 4096;
/// Of a form that is looked for as a whole.
const ANCHOR_MAX: usize = 32;
/// Of one that is looked for by its parts: anchors of this length,
const WINDOW: usize = 16;
/// one at least every so many bytes unless that makes more of them than this.
const STRIDE_MIN: usize = 8;
const WINDOWS_MAX: usize = 2048;
/// Of all anchors together: what an automaton of a few dozen megabytes holds.
const ANCHOR_BYTES_MAX: usize = 1 << 20;

/// A stretch of text that is to be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// By their places in the list of secrets; the one that begins first is the first.
    pub(crate) secrets: Vec<usize>,
}

pub(crate) struct Finder {
    automaton: AhoCorasick,
    /// Where each anchor is in the forms.
    places: Vec<Vec<Place>>,
    forms: Vec<Known>,
    /// What is further than this from the end of a text is found whatever follows.
    horizon: usize,
}

struct Known {
    secret: usize,
    bytes: Vec<u8>,
    in_parts: bool,
}

struct Place {
    form: usize,
    offset: usize,
}

#[derive(Default)]
struct Draft {
    anchors: Vec<Vec<u8>>,
    by_anchor: HashMap<Vec<u8>, usize>,
    anchor_bytes: usize,
    places: Vec<Vec<Place>>,
    forms: Vec<Known>,
    horizon: usize,
    /// The secrets that are not searched for in every form.
    missed: BTreeSet<usize>,
}

/// For the secrets' values, and which of them it does not find in every form. `None`: it would find nothing.
pub(crate) fn finder(values: &[&[u8]]) -> (Option<Finder>, BTreeSet<usize>) {
    let mut draft = Draft::default();
    let mut units = Vec::new();
    for (secret, value) in values.iter().enumerate() {
        match form::units(value) {
            Some(found) => units.push((secret, found)),
            None => {
                draft.missed.insert(secret);
            }
        }
    }
    // What is most likely to be printed comes first, should there be too much of it.
    for (secret, it) in &units {
        let lines = if it.lines.is_empty() { std::slice::from_ref(&it.whole) } else { &it.lines };
        for line in lines {
            draft.add(*secret, form::plain(line));
        }
    }
    for (secret, it) in &units {
        draft.add(*secret, form::encoded(it.whole));
        draft.add_escaped(*secret, it.whole);
    }
    for (secret, it) in &units {
        for line in &it.lines {
            draft.add(*secret, form::encoded(line));
            draft.add_escaped(*secret, line);
        }
    }
    let missed = std::mem::take(&mut draft.missed);
    if draft.anchors.is_empty() {
        return (None, missed);
    }
    match AhoCorasick::new(&draft.anchors) {
        Ok(automaton) => {
            let Draft { places, forms, horizon, .. } = draft;
            (Some(Finder { automaton, places, forms, horizon }), missed)
        }
        // Its limits are far beyond what the anchors' bytes are bounded to.
        Err(_) => (None, (0..values.len()).collect()),
    }
}

impl Draft {
    fn add_escaped(&mut self, secret: usize, unit: &[u8]) {
        match form::escaped(unit) {
            Some(forms) => self.add(secret, forms),
            None => {
                self.missed.insert(secret);
            }
        }
    }

    fn add(&mut self, secret: usize, forms: impl Iterator<Item = Form>) {
        for form in forms {
            if self.anchor_bytes > ANCHOR_BYTES_MAX {
                self.missed.insert(secret);
                return;
            }
            self.add_form(secret, form);
        }
    }

    fn add_form(&mut self, secret: usize, Form { bytes, breaks }: Form) {
        let in_parts = bytes.len() > if breaks { PART_MIN } else { WHOLE_MAX };
        let form = self.forms.len();
        if in_parts {
            let stride = bytes.len().div_ceil(WINDOWS_MAX).max(STRIDE_MIN);
            let last = bytes.len() - WINDOW;
            for offset in (0..last).step_by(stride).chain([last]) {
                self.anchor(&bytes[offset..offset + WINDOW], Place { form, offset });
            }
            self.horizon = self.horizon.max(2 * (WINDOW + stride));
        } else {
            self.anchor(&bytes[..bytes.len().min(ANCHOR_MAX)], Place { form, offset: 0 });
            self.horizon = self.horizon.max(bytes.len());
        }
        self.forms.push(Known { secret, bytes, in_parts });
    }

    /// Where a form holds an anchor twice, the first place stands for both: from there the text is followed to where it
    /// differs, and what comes after has anchors of its own.
    fn anchor(&mut self, bytes: &[u8], place: Place) {
        let index = *self.by_anchor.entry(bytes.to_vec()).or_insert_with(|| {
            self.anchors.push(bytes.to_vec());
            self.places.push(Vec::new());
            self.anchor_bytes += bytes.len();
            self.anchors.len() - 1
        });
        let places = &mut self.places[index];
        if places.last().is_none_or(|last| last.form != place.form) {
            places.push(place);
        }
    }
}

impl Finder {
    pub(crate) const fn horizon(&self) -> usize {
        self.horizon
    }

    /// In order, and apart from each other.
    pub(crate) fn find(&self, text: &[u8]) -> Vec<Region> {
        // Nearly no line holds a secret, and whether one does is known faster than where.
        if !self.automaton.is_match(text) {
            return Vec::new();
        }
        let mut found: Vec<(Range<usize>, usize)> = Vec::new();
        for hit in self.automaton.find_overlapping_iter(text) {
            for place in &self.places[hit.pattern()] {
                let form = &self.forms[place.form];
                let is_known = |(range, secret): &(Range<usize>, usize)| {
                    *secret == form.secret && range.start <= hit.start() && hit.end() <= range.end
                };
                // A long stretch is not followed anew from each of its anchors.
                if form.in_parts && found.last().is_some_and(is_known) {
                    continue;
                }
                found.extend(form.around(text, hit.start(), place.offset).map(|range| (range, form.secret)));
            }
        }
        merge(found)
    }
}

impl Known {
    /// The stretch that is this form or, if it breaks over lines, a part of it, with its byte `offset` at `at`.
    fn around(&self, text: &[u8], at: usize, offset: usize) -> Option<Range<usize>> {
        if !self.in_parts {
            return text[at..].starts_with(&self.bytes).then(|| at..at + self.bytes.len());
        }
        let same = |pair: &(&u8, &u8)| pair.0 == pair.1;
        let before = text[..at].iter().rev().zip(self.bytes[..offset].iter().rev()).take_while(same).count();
        let after = text[at..].iter().zip(&self.bytes[offset..]).take_while(same).count();
        Some(at - before..at + after)
    }
}

/// Stretches that overlap become one; those that touch are two.
fn merge(mut found: Vec<(Range<usize>, usize)>) -> Vec<Region> {
    found.sort_unstable_by_key(|(range, secret)| (range.start, std::cmp::Reverse(range.end), *secret));
    let mut regions: Vec<Region> = Vec::new();
    for (range, secret) in found {
        match regions.last_mut() {
            Some(last) if range.start < last.end => {
                last.end = last.end.max(range.end);
                if !last.secrets.contains(&secret) {
                    last.secrets.push(secret);
                }
            }
            _ => regions.push(Region { start: range.start, end: range.end, secrets: vec![secret] }),
        }
    }
    regions
}

//! Takes secrets out of what a build says: their values as they are, line by line, and in the encodings that programs
//! print them in. Pure.
//!
//! What is found becomes `[secret NAME]`. A [`Redactor`] is made once for a build. Text that is whole, such as an error's
//! message, goes through [`Redactor::redact`]; output that arrives in pieces goes through a [`Stream`] of its own for each
//! step and descriptor, before it is cut into lines.

mod find;
mod form;
mod stream;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use find::{Finder, Region};
pub use form::{VALUE_MIN, is_searchable};
pub use stream::Stream;

/// Finds the secrets of one build. Clones count together.
#[derive(Clone)]
pub struct Redactor {
    shared: Arc<Shared>,
}

struct Shared {
    names: Vec<String>,
    /// Replacements of each secret so far.
    counts: Vec<AtomicU64>,
    /// `None`: there is nothing to find.
    finder: Option<Finder>,
    gaps: Vec<String>,
}

impl Redactor {
    /// Of the secrets' names and values. A value that is not [`is_searchable`] is not searched for.
    pub fn new<'a>(secrets: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Redactor {
        let (names, values): (Vec<&str>, Vec<&[u8]>) = secrets.into_iter().unzip();
        let (finder, missed) = find::finder(&values);
        let gaps = missed.into_iter().map(|secret| names[secret].to_owned()).collect();
        let counts = names.iter().map(|_| AtomicU64::new(0)).collect();
        let names = names.into_iter().map(str::to_owned).collect();
        Redactor { shared: Arc::new(Shared { names, counts, finder, gaps }) }
    }

    /// Text that is whole: nothing of a secret may be before or after it.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let Some(finder) = &self.shared.finder else { return Cow::Borrowed(text) };
        let mut regions = finder.find(text.as_bytes());
        if regions.is_empty() {
            return Cow::Borrowed(text);
        }
        // Of a value that is no text itself, a part may look like a part of a character.
        for region in &mut regions {
            region.start = text.floor_char_boundary(region.start);
            region.end = text.ceil_char_boundary(region.end);
        }
        let mut redacted = String::with_capacity(text.len());
        let mut from = 0;
        for region in &regions {
            redacted.push_str(text.get(from..region.start).unwrap_or_default());
            redacted.push_str(&self.replace(region));
            from = region.end;
        }
        redacted.push_str(&text[from..]);
        Cow::Owned(redacted)
    }

    /// For output that arrives in pieces.
    pub fn stream(&self) -> Stream {
        Stream::new(self.clone())
    }

    /// How often each secret was replaced until now, by name; those that never were are left out.
    pub fn counts(&self) -> Vec<(&str, u64)> {
        let counts = self.shared.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let all = self.shared.names.iter().map(String::as_str).zip(counts);
        all.filter(|(_, count)| *count > 0).collect()
    }

    /// The names of those that are not searched for in every form, because they are too short or too long.
    pub fn gaps(&self) -> &[String] {
        &self.shared.gaps
    }

    /// Counts a region, and gives what takes its place.
    fn replace(&self, region: &Region) -> String {
        for &secret in &region.secrets {
            self.shared.counts[secret].fetch_add(1, Ordering::Relaxed);
        }
        let name = region.secrets.first().map_or("", |&secret| &self.shared.names[secret]);
        format!("[secret {name}]")
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("names", &self.shared.names).finish_non_exhaustive()
    }
}

//! A column that holds a word of the vocabulary.

use std::str::FromStr;

use domain::word::UnknownWord;

/// A `domain` word as a column. Exists because `domain` knows nothing of SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word<T>(pub T);

impl<T: FromStr<Err = UnknownWord>> TryFrom<String> for Word<T> {
    type Error = UnknownWord;

    fn try_from(word: String) -> Result<Self, Self::Error> {
        word.parse().map(Word)
    }
}

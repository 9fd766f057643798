//! Whether what a package says of its licence can stand in an SPDX document.

use ::spdx::{Expression, ParseMode};

/// Names that were given up later, such as `GPL-2.0`, are still in the list. References to texts that the document would
/// have to hold are none: it holds no texts.
pub(super) fn is_expression(text: &str) -> bool {
    const MODE: ParseMode = ParseMode { allow_deprecated: true, ..ParseMode::STRICT };
    let is_own = |word: &str| word.contains("LicenseRef-") || word.contains("DocumentRef-");
    let is_small = |word: &str| matches!(word, "and" | "or" | "with");
    !text.split([' ', '(', ')']).any(|word| is_own(word) || is_small(word))
        && Expression::parse_mode(text, MODE).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_and_others() {
        for good in [
            "MIT",
            "GPL-2.0",
            "Apache-2.0 OR MIT",
            "(MIT AND Zlib)",
            "GPL-2.0-only WITH Classpath-exception-2.0",
        ] {
            assert!(is_expression(good), "{good}");
        }
        for bad in [
            "",
            "UNLICENSED",
            "SEE LICENSE IN x",
            "BSD",
            "MIT/Apache-2.0",
            "LicenseRef-x",
            "MIT or ISC",
            "MIT AND",
            "(MIT",
        ] {
            assert!(!is_expression(bad), "{bad}");
        }
    }

    #[test]
    fn deep_ones_are_no_trouble() {
        assert!(!is_expression(&"(".repeat(500)));
    }
}

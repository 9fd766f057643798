//! Strings and numbers as the SSH protocols write them (RFC 4251, section 5). Pure.

/// Reads one field after the other.
pub(super) struct Fields<'b>(pub(super) &'b [u8]);

impl<'b> Fields<'b> {
    /// `None`: there is no such field any more.
    pub(super) fn count(&mut self) -> Option<u32> {
        let (count, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*count))
    }

    pub(super) fn string(&mut self) -> Option<&'b [u8]> {
        let length = usize::try_from(self.count()?).ok()?;
        let (string, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(string)
    }

    /// A positive number, without the zeros that it begins with.
    pub(super) fn number(&mut self) -> Option<&'b [u8]> {
        self.string().map(plain)
    }
}

pub(super) fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), bytes].concat()
}

/// A positive number without needless zeros, whose first bit would be its sign.
pub(super) fn number(bytes: &[u8]) -> Vec<u8> {
    let bytes = plain(bytes);
    let is_negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    string(&[if is_negative { &[0][..] } else { &[] }, bytes].concat())
}

fn plain(bytes: &[u8]) -> &[u8] {
    &bytes[bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len())..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_needless_zeros() {
        for (bytes, written) in [
            (&[][..], &[0, 0, 0, 0][..]),
            (&[0, 0], &[0, 0, 0, 0]),
            (&[0, 0x7f], &[0, 0, 0, 1, 0x7f]),
            (&[0x80], &[0, 0, 0, 2, 0, 0x80]),
        ] {
            assert_eq!(number(bytes), written);
            assert_eq!(Fields(written).number().unwrap(), plain(bytes));
        }
    }

    #[test]
    fn what_is_cut_off_is_no_field() {
        let written = [string(b"one"), string(b"")].concat();
        let mut fields = Fields(&written);
        assert_eq!(
            (fields.string(), fields.string(), fields.string()),
            (Some(&b"one"[..]), Some(&b""[..]), None)
        );
        assert_eq!(Fields(&written[..6]).string(), None);
        assert_eq!(Fields(&[0xff; 7]).string(), None);
    }
}

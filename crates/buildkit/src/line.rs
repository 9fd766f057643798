//! Lines out of the arbitrary pieces in which a step's output arrives.

/// A longer line is split.
const LINE_MAX: usize = 16 << 10;

/// What came of one stream since its last line feed.
#[derive(Debug, Default)]
pub(crate) struct LineBuffer {
    partial: Vec<u8>,
}

impl LineBuffer {
    /// The lines that `bytes` complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.partial.extend(piece.iter().filter(|&&byte| byte != 0));
            if self.partial.len() > LINE_MAX {
                self.partial = overwritten(&self.partial).to_vec();
            }
            while self.partial.len() > LINE_MAX {
                let rest = self.partial.split_off(split_at(&self.partial));
                lines.push(text(&std::mem::replace(&mut self.partial, rest)));
            }
            if self.partial.ends_with(b"\n") {
                lines.extend(self.flush());
            }
        }
        lines
    }

    /// The line that was begun, if any.
    pub(crate) fn flush(&mut self) -> Option<String> {
        if self.partial.is_empty() {
            return None;
        }
        Some(text(overwritten(&std::mem::take(&mut self.partial))))
    }
}

/// A terminal goes back to the start of the line at a carriage return: what follows the last one is what it shows.
fn overwritten(line: &[u8]) -> &[u8] {
    let shown = line.strip_suffix(b"\n").unwrap_or(line);
    let shown = shown.strip_suffix(b"\r").unwrap_or(shown);
    let start = shown.iter().rposition(|&byte| byte == b'\r').map_or(0, |at| at + 1);
    &line[start..]
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end_matches(['\n', '\r']).to_owned()
}

/// The last place up to [`LINE_MAX`] that cuts no character in two.
fn split_at(line: &[u8]) -> usize {
    let continues = |at: &usize| line[*at] & 0b1100_0000 == 0b1000_0000;
    (LINE_MAX - 3..=LINE_MAX).rev().find(|at| !continues(at)).unwrap_or(LINE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut buffer = LineBuffer::default();
        let mut lines: Vec<_> = pieces.iter().flat_map(|piece| buffer.push(piece)).collect();
        lines.extend(buffer.flush());
        lines
    }

    #[test]
    fn pieces_become_lines() {
        let cases: [(&[&[u8]], &[&str]); 10] = [
            (&[], &[]),
            (&[b"a", b"b", b"c\n"], &["abc"]),
            (&[b"a\nb\n\nc"], &["a", "b", "", "c"]),
            (&[b"\xc3", b"\xa4\n"], &["\u{e4}"]),
            (&[b"bad \xff byte\n"], &["bad \u{fffd} byte"]),
            (&[b"n\0u\0l\n"], &["nul"]),
            (&[b"dos\r\n", b"dos\r", b"\n"], &["dos", "dos"]),
            (&[b"10%\r20%\r", b"30%\n"], &["30%"]),
            (&[b"10%\r100%\r\n"], &["100%"]),
            (&[b"10%\r20%\r"], &["20%"]),
        ];
        for (pieces, expected) in cases {
            assert_eq!(lines(pieces), expected, "{pieces:?}");
        }
    }

    #[test]
    fn a_long_line_is_split_between_characters() {
        let long = "\u{20ac}".repeat(LINE_MAX);
        let split = lines(&[long.as_bytes(), b"\nnext"]);
        assert!(split.iter().all(|line| line.len() <= LINE_MAX && !line.contains('\u{fffd}')));
        assert_eq!(split[..split.len() - 1].concat(), long);
        assert_eq!(split.last().map(String::as_str), Some("next"));
    }

    #[test]
    fn a_progress_bar_takes_no_more_room_than_a_line() {
        let mut buffer = LineBuffer::default();
        for percent in 0..100_000 {
            assert_eq!(buffer.push(format!("{percent} of 100000\r").as_bytes()), Vec::<String>::new());
        }
        assert!(buffer.partial.len() <= LINE_MAX);
        assert_eq!(buffer.flush().as_deref(), Some("99999 of 100000"));
    }
}

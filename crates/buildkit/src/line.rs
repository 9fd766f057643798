//! Lines out of the arbitrary pieces in which a step's output arrives. Bytes stay as they are, whatever they are.

/// A longer line is cut into pieces.
pub(crate) const LINE_MAX: usize = 1 << 20;

/// A line without its end, or a part of one that is longer than [`LINE_MAX`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) bytes: Vec<u8>,
    /// It goes on with the piece before it.
    pub(crate) continues: bool,
}

/// What came of one stream since its last line feed.
#[derive(Debug, Default)]
pub(crate) struct LineBuffer {
    partial: Vec<u8>,
    /// The line's begin was given already.
    is_cut: bool,
}

impl LineBuffer {
    /// The lines that `bytes` complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let ended = piece.strip_suffix(b"\n");
            self.partial.extend_from_slice(ended.unwrap_or(piece));
            if ended.is_some() {
                trim_end(&mut self.partial);
            }
            if self.partial.len() > LINE_MAX {
                overwrite(&mut self.partial);
            }
            while self.partial.len() > LINE_MAX {
                let rest = self.partial.split_off(cut_at(&self.partial));
                pieces.push(self.take());
                self.partial = rest;
                self.is_cut = true;
            }
            if ended.is_some() {
                pieces.push(self.take());
            }
        }
        pieces
    }

    /// The line that was begun, if any.
    pub(crate) fn flush(&mut self) -> Option<Piece> {
        if self.partial.is_empty() {
            return None;
        }
        trim_end(&mut self.partial);
        Some(self.take())
    }

    fn take(&mut self) -> Piece {
        overwrite(&mut self.partial);
        Piece { bytes: std::mem::take(&mut self.partial), continues: std::mem::take(&mut self.is_cut) }
    }
}

/// A terminal goes back to the start of the line at a carriage return, and programs that write so erase or overwrite what
/// they wrote before: what follows the last one is kept. Of a line that ends in one, what was shown last.
fn overwrite(line: &mut Vec<u8>) {
    let shown = line.len() - line.iter().rev().take_while(|&&byte| byte == b'\r').count();
    if let Some(at) = line[..shown].iter().rposition(|&byte| byte == b'\r') {
        line.drain(..=at);
    }
}

fn trim_end(line: &mut Vec<u8>) {
    while line.last() == Some(&b'\r') {
        line.pop();
    }
}

/// The last place up to [`LINE_MAX`] that cuts no character in two.
fn cut_at(line: &[u8]) -> usize {
    let continues = |at: &usize| line[*at] & 0b1100_0000 == 0b1000_0000;
    (LINE_MAX - 3..=LINE_MAX).rev().find(|at| !continues(at)).unwrap_or(LINE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(parts: &[&[u8]]) -> Vec<Piece> {
        let mut buffer = LineBuffer::default();
        let mut pieces: Vec<_> = parts.iter().flat_map(|part| buffer.push(part)).collect();
        pieces.extend(buffer.flush());
        pieces
    }

    #[test]
    fn pieces_become_lines() {
        type Pieces = &'static [&'static [u8]];
        let cases: [(Pieces, Pieces); 11] = [
            (&[], &[]),
            (&[b"a", b"b", b"c\n"], &[b"abc"]),
            (&[b"a\nb\n\nc"], &[b"a", b"b", b"", b"c"]),
            (&[b"\xc3", b"\xa4\n"], &[b"\xc3\xa4"]),
            (&[b"bad \xff byte\n"], &[b"bad \xff byte"]),
            (&[b"n\0u\0l\n"], &[b"n\0u\0l"]),
            (&[b"\x1b[1mbold\x1b[0m\n"], &[b"\x1b[1mbold\x1b[0m"]),
            (&[b"dos\r\n", b"dos\r", b"\n"], &[b"dos", b"dos"]),
            (&[b"10%\r20%\r", b"30%\n"], &[b"30%"]),
            (&[b"10%\r100%\r\n"], &[b"100%"]),
            (&[b"10%\r20%\r"], &[b"20%"]),
        ];
        for (parts, expected) in cases {
            let lines = pieces(parts);
            assert!(lines.iter().all(|line| !line.continues));
            assert_eq!(lines.iter().map(|line| &line.bytes[..]).collect::<Vec<_>>(), expected, "{parts:?}");
        }
    }

    #[test]
    fn a_line_of_a_megabyte_is_whole_and_a_longer_one_is_cut_between_characters() {
        let whole = pieces(&[&[b'x'; LINE_MAX], b"\r\nnext\n"]);
        assert_eq!(whole.iter().map(|it| it.bytes.len()).collect::<Vec<_>>(), [LINE_MAX, 4]);
        assert!(whole.iter().all(|it| !it.continues));

        let long = "\u{20ac}".repeat(LINE_MAX);
        let cut = pieces(&[long.as_bytes(), b"\nnext"]);
        assert!(cut.iter().all(|it| it.bytes.len() <= LINE_MAX && std::str::from_utf8(&it.bytes).is_ok()));
        let continues: Vec<bool> = cut.iter().map(|it| it.continues).collect();
        assert_eq!(continues, [false, true, true, true, false]);
        let all: Vec<u8> = cut[..4].iter().flat_map(|it| it.bytes.clone()).collect();
        assert_eq!(all, long.as_bytes());
        assert_eq!(cut[4].bytes, b"next");
    }

    #[test]
    fn a_progress_bar_takes_no_more_room_than_a_line() {
        let mut buffer = LineBuffer::default();
        for percent in 0..100_000 {
            assert!(buffer.push(format!("{percent} of 100000\r").as_bytes()).is_empty());
        }
        assert!(buffer.partial.len() <= LINE_MAX);
        assert_eq!(buffer.flush().unwrap().bytes, b"99999 of 100000");
    }
}

//! Lines as they are stored: many of one step together, compressed, and found again by their numbers. Pure.

use anyhow::{Context as _, Result, ensure};

use super::Line;
use crate::Time;

/// Logs compress well at any level; this one takes a hundredth of the time that the lines took to be made.
const LEVEL: i32 = 1;

/// Lines of one step that came together; step 0 is the build itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines {
    step: i32,
    continues: bool,
    count: i32,
    /// Each ended by a line feed.
    text: Vec<u8>,
}

impl Lines {
    pub const fn new(step: i32) -> Lines {
        Lines { step, continues: false, count: 0, text: Vec::new() }
    }

    /// Lines of `step`, in order.
    pub fn of<T: AsRef<[u8]>>(step: i32, lines: impl IntoIterator<Item = T>) -> Lines {
        let mut all = Lines::new(step);
        for line in lines {
            all.push(line.as_ref());
        }
        all
    }

    /// The rest of a line that was too long, whose begin is the last line of the same step before these.
    pub fn rest(step: i32, line: &[u8]) -> Lines {
        Lines { continues: true, ..Lines::of(step, [line]) }
    }

    /// A line has no end in it: it would be two, and the numbers of all that follow would be wrong.
    pub fn push(&mut self, line: &[u8]) {
        let from = self.text.len();
        self.text.extend_from_slice(line);
        for byte in &mut self.text[from..] {
            if *byte == b'\n' {
                *byte = b' ';
            }
        }
        self.text.push(b'\n');
        self.count += 1;
    }

    pub const fn step(&self) -> i32 {
        self.step
    }

    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// As it is stored. There must be a line.
    pub fn pack(&self) -> Result<Chunk> {
        let body = zstd::bulk::compress(&self.text, LEVEL).context("compressing lines of a log")?;
        Ok(Chunk {
            step: self.step,
            continues: self.continues,
            line_count: self.count,
            byte_count: i32::try_from(self.text.len())?,
            body,
        })
    }
}

/// [`Lines`], compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    pub(super) step: i32,
    pub(super) continues: bool,
    pub(super) line_count: i32,
    pub(super) byte_count: i32,
    pub(super) body: Vec<u8>,
}

impl Chunk {
    pub const fn line_count(&self) -> i32 {
        self.line_count
    }

    /// What it takes to keep it.
    pub fn stored_bytes(&self) -> usize {
        self.body.len()
    }
}

/// What is known of a chunk without its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow, serde::Serialize, serde::Deserialize)]
pub(super) struct Entry {
    pub(super) first_line: i64,
    pub(super) line_count: i32,
    pub(super) step: i32,
    pub(super) continues: bool,
    pub(super) at: Time,
    pub(super) byte_count: i32,
}

impl Entry {
    /// The number of the line after its last one.
    pub(super) fn next_line(&self) -> i64 {
        self.first_line + i64::from(self.line_count)
    }
}

/// A chunk that was read.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) entry: Entry,
    /// Each line ended by a line feed.
    pub(super) text: Vec<u8>,
}

impl Stored {
    pub(super) fn unpack(entry: Entry, frame: &[u8]) -> Result<Stored> {
        let size = usize::try_from(entry.byte_count)?;
        let text = zstd::bulk::decompress(frame, size)
            .with_context(|| format!("the log is damaged at line {}", entry.first_line))?;
        ensure!(text.len() == size, "the log is damaged at line {}: it is too short", entry.first_line);
        Ok(Stored { entry, text })
    }

    /// The text from line `number` on.
    pub(super) fn text_from(&self, number: i64) -> &[u8] {
        let before = usize::try_from(number - self.entry.first_line).unwrap_or(0);
        let skipped: usize =
            self.text.split_inclusive(|byte| *byte == b'\n').take(before).map(<[u8]>::len).sum();
        &self.text[skipped..]
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = Line> {
        let Entry { first_line, step, at, continues, .. } = self.entry;
        let text = self.text.strip_suffix(b"\n").unwrap_or(&self.text);
        (first_line..).zip(text.split(|byte| *byte == b'\n')).map(move |(number, line)| Line {
            number,
            step,
            at,
            continues: continues && number == first_line,
            text: String::from_utf8_lossy(line).into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(chunk: &Chunk, first_line: i64) -> Stored {
        let &Chunk { step, continues, line_count, byte_count, .. } = chunk;
        let at = Time(jiff::Timestamp::UNIX_EPOCH);
        Stored::unpack(Entry { first_line, line_count, step, continues, at, byte_count }, &chunk.body)
            .unwrap()
    }

    #[test]
    fn bytes_come_back_as_they_were() {
        let lines: [&[u8]; 5] = [b"plain", b"", b"nul \0", b"bad \xff", b"\x1b[1mbold\x1b[0m \xc3\xa4"];
        let stored = read(&Lines::of(3, lines).pack().unwrap(), 7);
        let mut expected = lines.join(&b'\n');
        expected.push(b'\n');
        assert_eq!(stored.text, expected);
        let read: Vec<_> = stored.lines().map(|it| (it.number, it.text)).collect();
        let texts = ["plain", "", "nul \0", "bad \u{fffd}", "\u{1b}[1mbold\u{1b}[0m \u{e4}"];
        assert_eq!(read, (7..).zip(texts.map(str::to_owned)).collect::<Vec<_>>());
        assert_eq!(stored.entry.next_line(), 12);
        assert_eq!((stored.text_from(0), stored.text_from(10)), (&expected[..], &expected[13..]));
        assert_eq!(stored.text_from(12), b"");
    }

    #[test]
    fn a_line_feed_in_a_line_makes_no_line() {
        let stored = read(&Lines::of(0, ["one\ntwo", "three"]).pack().unwrap(), 0);
        assert_eq!(stored.lines().map(|it| it.text).collect::<Vec<_>>(), ["one two", "three"]);
    }

    #[test]
    fn only_the_first_line_of_a_rest_continues() {
        let mut rest = Lines::rest(1, b"end of it");
        rest.push(b"next");
        let continues: Vec<bool> = read(&rest.pack().unwrap(), 0).lines().map(|it| it.continues).collect();
        assert_eq!(continues, [true, false]);
    }

    #[test]
    fn a_damaged_chunk_says_where() {
        let mut chunk = Lines::of(1, ["a"]).pack().unwrap();
        chunk.body.truncate(5);
        let entry = Entry {
            first_line: 40,
            line_count: 1,
            step: 1,
            continues: false,
            at: Time(jiff::Timestamp::UNIX_EPOCH),
            byte_count: 2,
        };
        assert!(Stored::unpack(entry, &chunk.body).unwrap_err().to_string().contains("line 40"));
    }
}

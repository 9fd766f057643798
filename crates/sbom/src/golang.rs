//! The modules that a Go program was built from, which its linker writes into the program.
//!
//! 32 bytes at a multiple of 16: a magic number, the size of a pointer, flags. Since Go 1.18 two strings follow, each
//! after its length: Go's version, and lines about the modules between two marks.

use std::io::{self, Read};

use crate::package::{Kind, Package};

pub(crate) const ELF: &[u8] = b"\x7fELF";
const MAGIC: &[u8] = b"\xff Go buildinf:";
const ALIGN: usize = 16;
const HEADER: usize = 32;
const FLAGS: usize = 15;
/// The strings follow the header. Before, they were somewhere else in the program's memory.
const INLINE: u8 = 2;
/// Of the mark before the lines and of the one after them.
const MARK: usize = 16;
const CHUNK: usize = 64 << 10;
/// The information of the largest programs has some 100 KiB.
const INFO_MAX: usize = 1 << 20;
/// A program may have the magic number in it for a reason of its own, as those that look for it have.
const PLACES_MAX: usize = 16;

/// Reads a program until its modules are found; empty when it is none of Go's.
pub(crate) fn modules(mut program: impl Read) -> io::Result<Vec<Package>> {
    // Begins at a multiple of 16 always.
    let mut buffer = Vec::with_capacity(CHUNK);
    fill(&mut program, &mut buffer, CHUNK)?;
    if !buffer.starts_with(ELF) {
        return Ok(Vec::new());
    }
    for _ in 0..PLACES_MAX {
        let at = loop {
            if let Some(at) = buffer.chunks(ALIGN).position(|block| block.starts_with(MAGIC)) {
                break at * ALIGN;
            }
            buffer.clear();
            fill(&mut program, &mut buffer, CHUNK)?;
            if buffer.is_empty() {
                return Ok(Vec::new());
            }
        };
        buffer.drain(..at);
        fill(&mut program, &mut buffer, INFO_MAX)?;
        if let Some((version, lines)) = info(&buffer) {
            return Ok(packages(&version, &lines));
        }
        buffer.drain(..ALIGN.min(buffer.len()));
    }
    Ok(Vec::new())
}

/// Up to `size` bytes, fewer only at the end.
pub(crate) fn fill(program: &mut impl Read, buffer: &mut Vec<u8>, size: usize) -> io::Result<()> {
    let missing = u64::try_from(size.saturating_sub(buffer.len())).unwrap_or(u64::MAX);
    program.take(missing).read_to_end(buffer).map(drop)
}

fn info(bytes: &[u8]) -> Option<(String, String)> {
    let flags = *bytes.get(FLAGS)?;
    if flags & INLINE == 0 {
        return None;
    }
    let (version, rest) = string(bytes.get(HEADER..)?)?;
    let (lines, _) = string(rest)?;
    // Without the marks there are no modules.
    let lines = match lines.len().checked_sub(2 * MARK) {
        Some(length) => lines.get(MARK..MARK + length)?,
        None => &[],
    };
    Some((String::from_utf8_lossy(version).into_owned(), String::from_utf8_lossy(lines).into_owned()))
}

/// A string after its length, seven bits a byte, the lowest first.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0_usize;
    for (number, byte) in bytes.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * number);
        if byte & 0x80 == 0 {
            return bytes.get(number + 1..)?.split_at_checked(length);
        }
    }
    None
}

fn packages(version: &str, lines: &str) -> Vec<Package> {
    let module = |name: &str, version: Option<&str>| {
        let version = version.filter(|version| !version.is_empty() && *version != "(devel)");
        Package::new(Kind::Go, name, version)
    };
    let released = version.split_whitespace().next().and_then(|word| word.strip_prefix("go"));
    let mut found: Vec<Package> =
        released.and_then(|version| module("stdlib", Some(version))).into_iter().collect();
    for line in lines.lines() {
        let mut fields = line.split('\t');
        let (Some(field), Some(name)) = (fields.next(), fields.next()) else { continue };
        match field {
            "mod" | "dep" => found.extend(module(name, fields.next())),
            // A folder that took its place has no name, but the place's.
            "=>" if name.starts_with(['.', '/']) => {
                if let Some(replaced) = found.last_mut() {
                    replaced.version = None;
                }
            }
            "=>" => {
                found.pop();
                found.extend(module(name, fields.next()));
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const LINES: &str = "path\texample.org/tool\nmod\texample.org/tool\t(devel)\t\ndep\tgolang.org/x/sys\tv0.30.0\th1:x=\n\
                         dep\tgithub.com/a/b\tv1.0.0\n=>\tgithub.com/c/d\tv1.1.0\th1:y=\ndep\te.org/f\tv1.0.0\n=>\t../f\t\nbuild\t-compiler=gc\n";

    fn length(text: &[u8]) -> Vec<u8> {
        let (mut rest, mut bytes) = (text.len(), Vec::new());
        while rest >= 0x80 {
            bytes.push(0x80 | u8::try_from(rest & 0x7f).unwrap());
            rest >>= 7;
        }
        bytes.push(u8::try_from(rest).unwrap());
        bytes
    }

    /// A program with its information behind `before` bytes.
    pub(crate) fn program(before: usize, flags: u8) -> Vec<u8> {
        let mut program = b"\x7fELF".to_vec();
        program.resize(before, 7);
        program.extend_from_slice(MAGIC);
        program.extend_from_slice(&[8, flags]);
        program.resize(before + HEADER, 0);
        let lines = [&[1; MARK], LINES.as_bytes(), &[2; MARK]].concat();
        for text in [b"go1.26.8 X:none".as_slice(), &lines] {
            program.extend(length(text));
            program.extend_from_slice(text);
        }
        program.resize(program.len() + 100, 0);
        program
    }

    fn shown(program: &[u8]) -> Vec<String> {
        let found = modules(program).unwrap();
        found.iter().map(|it| format!("{} {}", it.name, it.version.as_deref().unwrap_or("-"))).collect()
    }

    #[test]
    fn modules_of_a_program() {
        let expected = [
            "stdlib 1.26.8",
            "example.org/tool -",
            "golang.org/x/sys v0.30.0",
            "github.com/c/d v1.1.0",
            "e.org/f -",
        ];
        // Also where it lies across two chunks.
        for before in [16, 4096, CHUNK - 16, CHUNK - 32, CHUNK, 3 * CHUNK + 160] {
            assert_eq!(shown(&program(before, INLINE)), expected, "{before}");
        }
    }

    #[test]
    fn what_only_looks_like_it_is_passed_over() {
        let mut twice = program(4096, 0);
        twice.resize(CHUNK * 2, 0);
        twice.extend(program(16, INLINE).split_off(16));
        assert_eq!(shown(&twice).len(), 5);
        assert!(shown(&program(4096, 0)).is_empty(), "of an older Go");
        assert!(shown(&program(4104, INLINE)).is_empty(), "not aligned");
        assert!(shown(&program(4096, INLINE)[1..]).is_empty(), "no ELF");
    }

    #[test]
    fn broken_ones_are_none() {
        let whole = program(64, INLINE);
        for end in 0..whole.len() - 100 {
            modules(&whole[..end]).unwrap();
        }
        let mut many = b"\x7fELF            ".to_vec();
        for _ in 0..10_000 {
            many.extend_from_slice(MAGIC);
            many.extend_from_slice(&[8, 2]);
        }
        assert!(shown(&many).is_empty());
        let endless = [&program(64, INLINE)[..96], &[0xff; 64]].concat();
        assert!(shown(&endless).is_empty());
    }
}

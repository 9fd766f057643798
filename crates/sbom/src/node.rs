//! The program `node`, which says in itself which version it is: its makers publish it as a file, which no package manager
//! installs.

use std::io::{self, Read};

use crate::golang::{ELF, fill};
use crate::package::{Kind, Package};

const MARK: &[u8] = b"node.js/v";
const VERSION_MAX: usize = 24;
const CHUNK: usize = 64 << 10;

/// `None`: it is another program of this name.
pub(crate) fn package(mut program: impl Read) -> io::Result<Option<Package>> {
    let mut buffer = Vec::with_capacity(2 * CHUNK);
    fill(&mut program, &mut buffer, CHUNK)?;
    if !buffer.starts_with(ELF) {
        return Ok(None);
    }
    loop {
        let marks = buffer.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK);
        for (at, _) in marks {
            if let Some(version) = version(&buffer[at + MARK.len()..]) {
                return Ok(Package::new(Kind::Program, "node", Some(&version)));
            }
        }
        // A mark or a version may go on in what follows.
        buffer.drain(..buffer.len().saturating_sub(MARK.len() + VERSION_MAX));
        let before = buffer.len();
        fill(&mut program, &mut buffer, before + CHUNK)?;
        if buffer.len() == before {
            return Ok(None);
        }
    }
}

/// `22.12.0`, when that is what the bytes begin with and something else follows.
fn version(bytes: &[u8]) -> Option<String> {
    let is_part = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
    let end = bytes.iter().take(VERSION_MAX).position(|byte| !is_part(byte))?;
    let version = std::str::from_utf8(&bytes[..end]).ok()?;
    let parts: Vec<&str> = version.split('.').collect();
    (parts.len() == 3 && parts.iter().all(|part| !part.is_empty())).then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(program: &[u8]) -> Option<String> {
        package(program).unwrap().map(|it| format!("{} {}", it.name, it.version.unwrap()))
    }

    #[test]
    fn wherever_it_stands() {
        for before in [4, 100, CHUNK - 20, CHUNK - 9, CHUNK - 5, CHUNK, 3 * CHUNK - 12] {
            let mut program = b"\x7fELF".to_vec();
            program.resize(before, b'n');
            program.extend_from_slice(b"node.js/v22.12.0\0");
            program.resize(before + 200, 0);
            assert_eq!(found(&program).as_deref(), Some("node 22.12.0"), "{before}");
            assert_eq!(found(&program[1..]), None, "no ELF");
        }
    }

    #[test]
    fn what_is_no_version() {
        for other in
            ["node.js/v\0", "node.js/v1.2\0", "node.js/v1..2\0", "node.js/v1.2.3", "node.js/v1.2.3.4\0", ""]
        {
            assert_eq!(found(&[b"\x7fELF", other.as_bytes()].concat()), None, "{other}");
        }
        assert_eq!(found(b"\x7fELF node.js/v node.js/v20.1.0 "), Some("node 20.1.0".to_owned()));
    }
}

//! Packets: four hex digits say how long each is, themselves included.

/// A packet carries at most so much; with its length it is 65,520 bytes.
pub const DATA_MAX: usize = 65_516;
/// The packet that ends a part.
pub const FLUSH: &[u8] = b"0000";

const LENGTH_BYTES: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    Data(&'a [u8]),
    Flush,
    Delimiter,
    ResponseEnd,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPacket {
    #[error("a packet has to begin with its length in four hex digits, not with {0:?}")]
    Length(String),
    #[error("a packet of {0} bytes is longer than the {max} that git allows", max = DATA_MAX + LENGTH_BYTES)]
    TooLong(usize),
    #[error("a packet of the side band has to say its band: 1, 2 or 3")]
    Band,
}

/// The first packet of `buffer` and how many bytes it took; `None` when more bytes are needed to tell.
pub fn decode(buffer: &[u8]) -> Result<Option<(Packet<'_>, usize)>, BadPacket> {
    let Some((digits, rest)) = buffer.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let length = match length(digits)? {
        0 => return Ok(Some((Packet::Flush, LENGTH_BYTES))),
        1 => return Ok(Some((Packet::Delimiter, LENGTH_BYTES))),
        2 => return Ok(Some((Packet::ResponseEnd, LENGTH_BYTES))),
        3 => return Err(BadPacket::Length("0003".to_owned())),
        length => length,
    };
    if length > DATA_MAX + LENGTH_BYTES {
        return Err(BadPacket::TooLong(length));
    }
    Ok(rest.get(..length - LENGTH_BYTES).map(|data| (Packet::Data(data), length)))
}

/// Appends `data` as one packet.
///
/// # Panics
/// When `data` is longer than [`DATA_MAX`]: whoever may have more than that has to split it.
pub fn encode(data: &[u8], into: &mut Vec<u8>) {
    assert!(data.len() <= DATA_MAX, "a packet of {} bytes", data.len());
    into.extend_from_slice(format!("{:04x}", data.len() + LENGTH_BYTES).as_bytes());
    into.extend_from_slice(data);
}

fn length(digits: &[u8; LENGTH_BYTES]) -> Result<usize, BadPacket> {
    digits.iter().try_fold(0, |length, digit| {
        let digit = char::from(*digit)
            .to_digit(16)
            .ok_or_else(|| BadPacket::Length(String::from_utf8_lossy(digits).into_owned()))?;
        Ok(length * 16 + digit as usize)
    })
}

#[cfg(test)]
mod tests {
    use gix_packetline::decode::Stream;
    use gix_packetline::{PacketLineRef, blocking_io};
    use proptest::prelude::*;

    use super::*;

    /// What gitoxide says about the same bytes; it refuses packets without data, which git takes.
    fn oracle(buffer: &[u8]) -> Option<Option<(Packet<'_>, usize)>> {
        let packet = |line| match line {
            PacketLineRef::Data(data) => Packet::Data(data),
            PacketLineRef::Flush => Packet::Flush,
            PacketLineRef::Delimiter => Packet::Delimiter,
            PacketLineRef::ResponseEnd => Packet::ResponseEnd,
        };
        match gix_packetline::decode::streaming(buffer).ok()? {
            Stream::Complete { line, bytes_consumed } => Some(Some((packet(line), bytes_consumed))),
            Stream::Incomplete { .. } => Some(None),
        }
    }

    #[test]
    fn the_edges() {
        assert_eq!(decode(b"0000rest"), Ok(Some((Packet::Flush, 4))));
        assert_eq!(decode(b"0001"), Ok(Some((Packet::Delimiter, 4))));
        assert_eq!(decode(b"0002"), Ok(Some((Packet::ResponseEnd, 4))));
        assert_eq!(decode(b"0004"), Ok(Some((Packet::Data(b""), 4))));
        assert_eq!(decode(b"0003"), Err(BadPacket::Length("0003".to_owned())));
        assert_eq!(decode(b"+001"), Err(BadPacket::Length("+001".to_owned())));
        assert_eq!(decode(b"fff1"), Err(BadPacket::TooLong(65_521)));
        assert_eq!(decode(b"fff0"), Ok(None));
        for few in [&b""[..], b"0", b"000", b"0005", b"zzz"] {
            assert_eq!(decode(few), Ok(None), "{few:?}");
        }
        let mut longest = Vec::new();
        encode(&[b'x'; DATA_MAX], &mut longest);
        assert_eq!(decode(&longest), Ok(Some((Packet::Data(&[b'x'; DATA_MAX]), DATA_MAX + 4))));
    }

    proptest! {
        #[test]
        fn packets_are_written_as_gitoxide_writes_them(data in prop::collection::vec(any::<u8>(), 1..1000)) {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            encode(&data, &mut ours);
            blocking_io::encode::data_to_write(&data, &mut theirs).unwrap();
            prop_assert_eq!(&ours, &theirs);
            prop_assert_eq!(decode(&ours), Ok(Some((Packet::Data(&data), data.len() + 4))));
        }

        #[test]
        fn lengths_are_read_as_gitoxide_reads_them(
            length in prop_oneof!["[0-9a-fA-F]{4}", "00[0-4][0-9a-f]", "[ -~]{4}"],
            behind in 0..100_usize,
        ) {
            prop_assume!(length != "0004");
            let buffer = [length.as_bytes(), &vec![b'x'; behind]].concat();
            prop_assert_eq!(decode(&buffer).ok(), oracle(&buffer));
        }
    }
}

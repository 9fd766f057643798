//! The side band: data, progress and errors in one stream of packets.

mod text;

pub use text::sanitize;

use crate::pkt_line::{self, BadPacket, Packet};

/// A packet's data less the byte that names its band.
const BAND_DATA_MAX: usize = pkt_line::DATA_MAX - 1;
/// No data at all: no client shows it, and no proxy takes the connection for idle.
pub const KEEPALIVE: &[u8] = b"0005\x01";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Band {
    Data = 1,
    /// Lines that the client shows after `remote: `.
    Progress = 2,
    /// Makes the client give up.
    Error = 3,
}

/// Appends `data` in as many packets as it needs.
pub fn encode(band: Band, data: &[u8], into: &mut Vec<u8>) {
    for piece in data.chunks(BAND_DATA_MAX) {
        let mut packet = Vec::with_capacity(piece.len() + 1);
        packet.push(band as u8);
        packet.extend_from_slice(piece);
        pkt_line::encode(&packet, into);
    }
}

/// Takes a stream that comes in pieces apart into its bands.
#[derive(Debug, Default)]
pub struct Demux {
    buffer: Vec<u8>,
}

impl Demux {
    /// The packets that are whole by now, each with the number of its band. Empty ones, keepalives, are among them.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<(u8, Vec<u8>)>, BadPacket> {
        self.buffer.extend_from_slice(bytes);
        let mut packets = Vec::new();
        let mut used = 0;
        while let Some((packet, length)) = pkt_line::decode(&self.buffer[used..])? {
            used += length;
            match packet {
                Packet::Data([band @ 1..=3, data @ ..]) => packets.push((*band, data.to_vec())),
                Packet::Data(_) => return Err(BadPacket::Band),
                Packet::Flush | Packet::Delimiter | Packet::ResponseEnd => {}
            }
        }
        self.buffer.drain(..used);
        Ok(packets)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn long_data_is_split() {
        let data = vec![7; BAND_DATA_MAX + 1];
        let mut wire = Vec::new();
        encode(Band::Progress, &data, &mut wire);
        assert!(wire.starts_with(b"fff0\x02") && wire.ends_with(b"0006\x02\x07"));
        encode(Band::Error, b"", &mut wire);
        assert_eq!(wire.len(), data.len() + 10, "no data makes no packet");
    }

    #[test]
    fn a_packet_says_its_band() {
        for bad in [&b"0004"[..], b"0005\x00", b"0005\x04", b"0008ERR "] {
            assert_eq!(Demux::default().feed(bad), Err(BadPacket::Band), "{bad:?}");
        }
        assert!(Demux::default().feed(b"HTTP").is_err());
        let mut demux = Demux::default();
        assert_eq!(demux.feed(KEEPALIVE), Ok(vec![(1, Vec::new())]));
        assert_eq!(
            demux.feed(b"0006\x02a00000006\x01b000"),
            Ok(vec![(2, b"a".to_vec()), (1, b"b".to_vec())])
        );
        assert_eq!(demux.feed(b"6\x03"), Ok(Vec::new()));
        assert_eq!(demux.feed(b"c"), Ok(vec![(3, b"c".to_vec())]));
    }

    proptest! {
        #[test]
        fn any_pieces_come_out_as_they_went_in(
            data in prop::collection::vec((0..3_usize, prop::collection::vec(any::<u8>(), 0..200)), 0..8),
            size in 1..64_usize,
        ) {
            const BANDS: [Band; 3] = [Band::Data, Band::Progress, Band::Error];
            let (mut wire, mut sent) = (Vec::new(), [Vec::new(), Vec::new(), Vec::new()]);
            for (band, bytes) in &data {
                encode(BANDS[*band], bytes, &mut wire);
                sent[*band].extend_from_slice(bytes);
            }
            let (mut demux, mut got) = (Demux::default(), [Vec::new(), Vec::new(), Vec::new()]);
            for piece in wire.chunks(size) {
                for (band, bytes) in demux.feed(piece).unwrap() {
                    got[usize::from(band) - 1].extend_from_slice(&bytes);
                }
            }
            prop_assert_eq!(sent, got);
        }
    }
}

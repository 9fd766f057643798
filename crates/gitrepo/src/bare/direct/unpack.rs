//! A small pack as the objects that it holds, each in full. Never more memory than [`BYTES_MAX`] says, whatever a pack
//! claims: a kilobyte of deltas can stand for terabytes.

use std::collections::HashMap;
use std::ops::Range;

use flate2::{Decompress, FlushDecompress, Status};
use git2::{ObjectType, Odb, OdbLookupFlags, Oid};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

const OBJECTS_MAX: u32 = 1_000;
/// Of all objects, and of those that their deltas are made against.
const BYTES_MAX: usize = 16 << 20;
const HEADER: usize = 12;
const CHECKSUM: usize = 20;

#[derive(Debug)]
pub(super) struct Object {
    pub(super) kind: ObjectType,
    pub(super) bytes: Vec<u8>,
}

/// Those that the repository does not have.
pub(super) type Objects = HashMap<Oid, Object>;

/// What is left of a pack, and of the room for what it holds.
struct Reader<'a> {
    pack: &'a [u8],
    at: usize,
    room: usize,
}

/// `None`: this is no pack, not a small one, or one of which a delta's base is not known here.
pub(super) fn unpack(pack: &[u8], odb: &Odb<'_>) -> Option<Objects> {
    let (pack, checksum) = pack.split_last_chunk::<CHECKSUM>()?;
    let start = pack.get(..HEADER)?;
    let count = u32::from_be_bytes(start[8..].try_into().ok()?);
    let is_small = &start[..8] == b"PACK\0\0\0\x02" && count <= OBJECTS_MAX;
    if !is_small || digest(&SHA1_FOR_LEGACY_USE_ONLY, pack).as_ref() != checksum {
        return None;
    }
    let mut reader = Reader { pack, at: HEADER, room: BYTES_MAX };
    let mut found: Vec<(usize, Oid, Object)> = Vec::new();
    for _ in 0..count {
        let start = reader.at;
        let (kind, size) = reader.header()?;
        let object = match kind {
            1 => Object { kind: ObjectType::Commit, bytes: reader.inflate(size)? },
            2 => Object { kind: ObjectType::Tree, bytes: reader.inflate(size)? },
            3 => Object { kind: ObjectType::Blob, bytes: reader.inflate(size)? },
            6 => {
                let offset = start.checked_sub(reader.distance()?)?;
                let index = found.binary_search_by_key(&offset, |(at, ..)| *at).ok()?;
                let delta = reader.inflate(size)?;
                patch(&found[index].2, &delta, &mut reader.room)?
            }
            7 => {
                let id = Oid::from_bytes(reader.take(20)?).ok()?;
                let delta = reader.inflate(size)?;
                match found.iter().find(|(_, it, _)| *it == id) {
                    Some((_, _, base)) => patch(base, &delta, &mut reader.room)?,
                    None => patch(&known(odb, id, &mut reader.room)?, &delta, &mut reader.room)?,
                }
            }
            _ => return None,
        };
        // Finds out what was made to have the id of something else.
        let id = Oid::hash_object(object.kind, &object.bytes).ok()?;
        found.push((start, id, object));
    }
    let is_whole = reader.at == reader.pack.len();
    let new = found.into_iter().filter(|(_, id, _)| !odb.exists_ext(*id, OdbLookupFlags::NO_REFRESH));
    is_whole.then(|| new.map(|(_, id, object)| (id, object)).collect())
}

/// One that the repository has, if there is room for it.
pub(super) fn known(odb: &Odb<'_>, id: Oid, room: &mut usize) -> Option<Object> {
    let (size, _) = odb.read_header(id).ok()?;
    *room = room.checked_sub(size)?;
    let object = odb.read(id).ok()?;
    Some(Object { kind: object.kind(), bytes: object.data().to_vec() })
}

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let bytes = self.pack.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(bytes)
    }

    /// The kind of an entry, and how long it is when inflated.
    fn header(&mut self) -> Option<(u8, usize)> {
        let first = self.byte()?;
        let (mut size, mut shift, mut byte) = (usize::from(first & 15), 4, first);
        while byte & 128 != 0 {
            byte = self.byte()?;
            size |= usize::from(byte & 127).checked_shl(shift).filter(|_| shift < 32)?;
            shift += 7;
        }
        Some(((first >> 4) & 7, size))
    }

    /// How far back the base of a delta is.
    fn distance(&mut self) -> Option<usize> {
        let mut byte = self.byte()?;
        let mut distance = usize::from(byte & 127);
        while byte & 128 != 0 {
            byte = self.byte()?;
            distance = (distance + 1).checked_mul(128)? | usize::from(byte & 127);
        }
        Some(distance)
    }

    /// Exactly `size` bytes.
    fn inflate(&mut self, size: usize) -> Option<Vec<u8>> {
        self.room = self.room.checked_sub(size)?;
        // With a byte to spare: a stream that is longer than it should be does not end.
        let mut bytes = Vec::with_capacity(size + 1);
        let mut stream = Decompress::new(true);
        let ended = stream.decompress_vec(self.pack.get(self.at..)?, &mut bytes, FlushDecompress::Finish);
        self.at += usize::try_from(stream.total_in()).ok()?;
        matches!(ended, Ok(Status::StreamEnd) if bytes.len() == size).then_some(bytes)
    }
}

/// What a delta makes of its base.
fn patch(base: &Object, delta: &[u8], room: &mut usize) -> Option<Object> {
    let rest = &mut &*delta;
    let (from, to) = (length(rest)?, length(rest)?);
    *room = room.checked_sub(to).filter(|_| from == base.bytes.len())?;
    let mut bytes = Vec::with_capacity(to);
    while let Some(instruction) = byte(rest) {
        let part = match instruction {
            0 => return None,
            1..=127 => rest.split_off(..usize::from(instruction))?,
            128.. => {
                let (offset, size) = (number(rest, instruction, 0..4)?, number(rest, instruction, 4..7)?);
                let size = if size == 0 { 0x10000 } else { size };
                base.bytes.get(offset..offset.checked_add(size)?)?
            }
        };
        if bytes.len() + part.len() > to {
            return None;
        }
        bytes.extend_from_slice(part);
    }
    (bytes.len() == to).then_some(Object { kind: base.kind, bytes })
}

fn byte(rest: &mut &[u8]) -> Option<u8> {
    rest.split_off_first().copied()
}

fn length(rest: &mut &[u8]) -> Option<usize> {
    let (mut length, mut shift) = (0, 0);
    loop {
        let byte = byte(rest)?;
        length |= usize::from(byte & 127).checked_shl(shift).filter(|_| shift < 32)?;
        shift += 7;
        if byte & 128 == 0 {
            return Some(length);
        }
    }
}

/// Of an instruction to copy: its bits say which bytes of the number are there.
fn number(rest: &mut &[u8], instruction: u8, bits: Range<u8>) -> Option<usize> {
    let mut number = 0;
    for (n, bit) in bits.enumerate() {
        if instruction & (1 << bit) != 0 {
            number |= usize::from(byte(rest)?) << (8 * n);
        }
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patched(delta: &[u8], room: usize) -> Option<(Vec<u8>, usize)> {
        let base = Object { kind: ObjectType::Blob, bytes: b"0123456789".to_vec() };
        let mut left = room;
        patch(&base, delta, &mut left).map(|object| (object.bytes, left))
    }

    #[test]
    fn deltas() {
        let copy = [10, 6, 0x91, 7, 3, 3, b'a', b'b', b'c'];
        assert_eq!(patched(&copy, 10), Some((b"789abc".to_vec(), 4)));
        for bad in [
            &[9, 3, 0x91, 7, 3][..],
            &[10, 4, 0x91, 7, 3],
            &[10, 2, 0x91, 7, 3],
            &[10, 4, 0x91, 7, 4],
            &[10, 3, 0x91, 7],
            &[10, 3, 3, b'a', b'b'],
            &[10, 0, 0],
            &[10],
            &[0x80; 12],
            &[],
        ] {
            assert_eq!(patched(bad, 10), None, "{bad:?}");
        }
        assert_eq!(patched(&copy, 5), None, "there is no room for it");
    }

    /// Seven bytes of it stand for 64 KiB each.
    #[test]
    fn a_pack_that_stands_for_more_than_there_is_room_for() {
        let folder = tempfile::tempdir().unwrap();
        let repository = git2::Repository::init_bare(folder.path()).unwrap();
        let odb = repository.odb().unwrap();
        let base = odb.write(ObjectType::Blob, &vec![7; 0x10000]).unwrap();
        let pack = |copies: usize| {
            let mut delta = vec![0x80, 0x80, 0x04];
            let mut size = copies * 0x10000;
            while size >= 128 {
                delta.push(u8::try_from(size & 127).unwrap() | 128);
                size >>= 7;
            }
            delta.push(u8::try_from(size).unwrap());
            delta.extend(std::iter::repeat_n(128, copies));
            let mut pack = [&b"PACK\0\0\0\x02\0\0\0\x01"[..]].concat();
            let length = delta.len();
            pack.push(0xf0 | u8::try_from(length & 15).unwrap());
            pack.push(u8::try_from(length >> 4).unwrap());
            pack.extend_from_slice(base.as_bytes());
            let mut deflated = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
            std::io::Write::write_all(&mut deflated, &delta).unwrap();
            let pack = [pack, deflated.finish().unwrap()].concat();
            let checksum = digest(&SHA1_FOR_LEGACY_USE_ONLY, &pack);
            [&pack, checksum.as_ref()].concat()
        };
        let few = unpack(&pack(200), &odb).unwrap();
        assert_eq!(few.values().map(|it| it.bytes.len()).sum::<usize>(), 200 * 0x10000);
        assert!(unpack(&pack(300), &odb).is_none());
    }
}

//! The protocol with a BuildKit that is a list of packets.

use super::*;

struct Memory {
    entries: Vec<SourceEntry>,
    contents: Vec<Vec<u8>>,
}

impl Source for Memory {
    fn entries(&self) -> &[SourceEntry] {
        &self.entries
    }

    fn open(&self, index: usize) -> anyhow::Result<Vec<u8>> {
        anyhow::ensure!(self.contents[index] != b"gone", "the object is missing");
        Ok(self.contents[index].clone())
    }
}

fn memory(files: &[(&str, EntryKind, &[u8])]) -> Arc<Memory> {
    let entry = |(path, kind, content): &(&str, EntryKind, &[u8])| SourceEntry {
        path: (*path).to_owned(),
        kind: *kind,
        size: content.len() as u64,
        linkname: if *kind == EntryKind::Symlink { "../x".to_owned() } else { String::new() },
        mtime_ns: 7,
    };
    let contents = files.iter().map(|(_, _, content)| content.to_vec()).collect();
    Arc::new(Memory { entries: files.iter().map(entry).collect(), contents })
}

async fn answered(source: Arc<Memory>, requests: &[(PacketType, u32)]) -> Vec<Packet> {
    let requests: Vec<_> = requests.iter().map(|(kind, id)| Ok(packet(*kind, *id, None, vec![]))).collect();
    // BuildKit keeps its side open: the answers must end by themselves.
    let requests = stream::iter(requests).chain(stream::pending()).boxed();
    answers(source, requests).collect().await
}

#[tokio::test]
async fn every_entry_is_sent_and_then_the_end() {
    let source = memory(&[
        ("dir", EntryKind::Directory, b""),
        ("dir/run", EntryKind::Executable, b"12345"),
        ("link", EntryKind::Symlink, b""),
        ("text", EntryKind::File, b"123"),
    ]);
    let packets: Vec<_> = entries(source).collect().await;
    let sent: Vec<_> =
        packets.iter().flat_map(|it| &it.stat).map(|it| (&*it.path, it.mode, it.size, it.mod_time)).collect();
    assert_eq!(
        sent,
        [
            ("dir", 1 << 31 | 0o755, 0, 7),
            ("dir/run", 0o755, 5, 7),
            ("link", 1 << 27 | 0o777, 4, 7),
            ("text", 0o644, 3, 7),
        ]
    );
    assert_eq!(packets.last(), Some(&packet(PacketType::PacketStat, 0, None, vec![])));
}

#[tokio::test]
async fn wanted_files_are_sent_in_pieces() {
    let large = vec![b'x'; PIECE_MAX + 1];
    let source =
        memory(&[("a", EntryKind::File, b"aa"), ("b", EntryKind::File, b""), ("c", EntryKind::File, &large)]);
    let requests = [
        (PacketType::PacketReq, 2),
        (PacketType::PacketReq, 1),
        (PacketType::PacketReq, 0),
        (PacketType::PacketFin, 0),
    ];
    let packets = answered(source, &requests).await;
    let sent: Vec<_> = packets.iter().map(|it| (it.r#type(), it.id, it.data.len())).collect();
    assert_eq!(
        sent,
        [
            (PacketType::PacketData, 2, PIECE_MAX),
            (PacketType::PacketData, 2, 1),
            (PacketType::PacketData, 2, 0),
            (PacketType::PacketData, 1, 0),
            (PacketType::PacketData, 0, 2),
            (PacketType::PacketData, 0, 0),
            (PacketType::PacketFin, 0, 0),
        ]
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_an_error_by_name() {
    let source = memory(&[("a", EntryKind::File, b"gone")]);
    let requests = [(PacketType::PacketReq, 0), (PacketType::PacketReq, 9), (PacketType::PacketFin, 0)];
    let packets = answered(source, &requests).await;
    let errors: Vec<_> = packets.iter().map(|it| String::from_utf8_lossy(&it.data)).collect();
    assert_eq!(errors, ["cannot read a: the object is missing", "there is no entry 9", ""]);
    assert_eq!(packets[0].r#type(), PacketType::PacketErr);
}

//! What a client is shown before it pushes: the refs that there are and what may be asked for.

use domain::commit::Commit;

use crate::pkt_line;
use crate::request::ZEROS;

/// No `atomic`: it does not hold over a crash, and a push has one branch. No `push-cert`: nobody could check one.
const CAPABILITIES: &str =
    "report-status delete-refs quiet ofs-delta side-band-64k push-options object-format=sha1";

/// The whole body of `GET info/refs?service=git-receive-pack`.
pub fn receive_pack(refs: &[(String, Commit)], agent: &str) -> Vec<u8> {
    let mut into = Vec::new();
    pkt_line::encode(b"# service=git-receive-pack\n", &mut into);
    into.extend_from_slice(pkt_line::FLUSH);
    let capabilities = format!("{CAPABILITIES} agent={agent}");
    if refs.is_empty() {
        pkt_line::encode(format!("{ZEROS} capabilities^{{}}\0{capabilities}\n").as_bytes(), &mut into);
    }
    for (n, (name, commit)) in refs.iter().enumerate() {
        let line =
            if n == 0 { format!("{commit} {name}\0{capabilities}\n") } else { format!("{commit} {name}\n") };
        pkt_line::encode(line.as_bytes(), &mut into);
    }
    into.extend_from_slice(pkt_line::FLUSH);
    into
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pkt_line::Packet;

    /// The packets' text; `--` is a flush.
    fn packets(mut bytes: &[u8]) -> Vec<String> {
        let mut packets = Vec::new();
        while let Some((packet, length)) = pkt_line::decode(bytes).unwrap() {
            bytes = &bytes[length..];
            packets.push(match packet {
                Packet::Data(data) => String::from_utf8(data.to_vec()).unwrap(),
                Packet::Flush | Packet::Delimiter | Packet::ResponseEnd => "--".to_owned(),
            });
        }
        assert!(bytes.is_empty());
        packets
    }

    #[test]
    fn the_first_line_says_what_may_be_asked_for() {
        let commit = Commit::parse(&"1".repeat(40)).unwrap();
        let refs = ["refs/heads/main", "refs/tags/v1"].map(|name| (name.to_owned(), commit.clone()));
        let capabilities = "report-status delete-refs quiet ofs-delta side-band-64k push-options \
                            object-format=sha1 agent=slipway/1";
        assert_eq!(
            packets(&receive_pack(&refs, "slipway/1")),
            [
                "# service=git-receive-pack\n".to_owned(),
                "--".to_owned(),
                format!("{commit} refs/heads/main\0{capabilities}\n"),
                format!("{commit} refs/tags/v1\n"),
                "--".to_owned(),
            ]
        );
        assert_eq!(
            packets(&receive_pack(&[], "slipway/1"))[2],
            format!("{ZEROS} capabilities^{{}}\0{capabilities}\n")
        );
    }
}

//! Server-sent events out of a stream of bytes. Pure.

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) kind: String,
    pub(crate) data: String,
}

/// What of the stream has not made an event yet.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    bytes: Vec<u8>,
    kind: String,
    data: Vec<String>,
}

impl Pending {
    /// The events that end in `bytes`, which may begin and end anywhere.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.bytes.extend_from_slice(bytes);
        let Some(end) = self.bytes.iter().rposition(|b| *b == b'\n') else { return Vec::new() };
        let complete: Vec<u8> = self.bytes.drain(..=end).collect();
        let text = String::from_utf8_lossy(&complete);
        text.lines().filter_map(|line| self.line(line)).collect()
    }

    /// An empty line ends an event; comments keep the connection alive.
    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let (kind, data) = (std::mem::take(&mut self.kind), std::mem::take(&mut self.data));
            return (!data.is_empty()).then(|| Event { kind, data: data.join("\n") });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.kind),
            "data" => self.data.push(value.to_owned()),
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_wherever_the_stream_is_cut() {
        let stream = "retry: 1000\n\n: hello\n\nevent: line\nid: 1\ndata: {\"text\":\"grüße\"}\n\nevent: end\ndata: a\ndata: b\n\n";
        let event = |kind: &str, data: &str| Event { kind: kind.into(), data: data.into() };
        let expected = [event("line", "{\"text\":\"grüße\"}"), event("end", "a\nb")];
        for size in 1..stream.len() {
            let mut pending = Pending::default();
            let events: Vec<_> =
                stream.as_bytes().chunks(size).flat_map(|bytes| pending.take(bytes)).collect();
            assert_eq!(events, expected, "in pieces of {size}");
        }
    }
}

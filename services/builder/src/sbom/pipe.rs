//! A layer as it comes from the registry, for a reader that blocks.

use std::io::{self, Read};

use tokio::sync::mpsc::Receiver;

/// Ends when its sender is dropped.
#[derive(Debug)]
pub(super) struct Pipe<C> {
    chunks: Receiver<io::Result<C>>,
    chunk: Option<C>,
    read: usize,
}

impl<C> Pipe<C> {
    pub(super) fn new(chunks: Receiver<io::Result<C>>) -> Pipe<C> {
        Pipe { chunks, chunk: None, read: 0 }
    }
}

impl<C: AsRef<[u8]>> Read for Pipe<C> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let rest = self.chunk.as_ref().map_or(&[][..], |chunk| &chunk.as_ref()[self.read..]);
            if !rest.is_empty() || buffer.is_empty() {
                let length = rest.len().min(buffer.len());
                buffer[..length].copy_from_slice(&rest[..length]);
                self.read += length;
                return Ok(length);
            }
            let Some(chunk) = self.chunks.blocking_recv() else { return Ok(0) };
            (self.chunk, self.read) = (Some(chunk?), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    #[test]
    fn chunks_of_any_size_and_an_error_at_the_end() {
        let (sender, receiver) = mpsc::channel(8);
        for chunk in [Ok("abc"), Ok(""), Ok("d"), Ok("efghi"), Err(io::Error::other("cut off"))] {
            sender.blocking_send(chunk).unwrap();
        }
        drop(sender);
        let mut pipe = Pipe::new(receiver);
        let mut nine = [0; 9];
        pipe.read_exact(&mut nine).unwrap();
        assert_eq!(&nine, b"abcdefghi");
        assert_eq!(pipe.read(&mut []).unwrap(), 0);
        assert_eq!(pipe.read(&mut nine).unwrap_err().to_string(), "cut off");
        assert_eq!(pipe.read(&mut nine).unwrap(), 0);
    }
}

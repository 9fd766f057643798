//! The way back to the client of a push: lines packed into the side band, keepalives while there is nothing to say, and
//! the report at the end. A client that is gone is noticed here, and only ends the view.

use std::time::Duration;

use axum::body::Bytes;
use gitwire::report::{self, Verdict};
use gitwire::request::Capabilities;
use gitwire::{pkt_line, sideband};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Lines are packed for at most this long.
const FLUSH_EVERY: Duration = Duration::from_millis(100);
/// Shorter than any proxy's idle timeout.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);
/// Packed text beyond this waits for nothing.
const FULL: usize = 60_000;
/// Chunks that wait for a slow client; with [`FULL`] this bounds what one push holds.
const CHUNKS: usize = 4;

/// The client has hung up.
#[derive(Debug)]
pub(super) struct Gone;

#[derive(Debug)]
pub(super) struct Wire {
    to: mpsc::Sender<Bytes>,
    has_report: bool,
    has_side_band: bool,
    pub(super) is_quiet: bool,
    packed: Vec<u8>,
    sent_at: Instant,
}

pub(super) fn open(capabilities: &Capabilities) -> (Wire, mpsc::Receiver<Bytes>) {
    let (to, from) = mpsc::channel(CHUNKS);
    let wire = Wire {
        to,
        has_report: capabilities.has("report-status"),
        has_side_band: capabilities.has("side-band-64k"),
        is_quiet: capabilities.has("quiet"),
        packed: Vec::new(),
        sent_at: Instant::now(),
    };
    (wire, from)
}

impl Wire {
    /// Without a side band there is no way to tell what happens, nor to stay awake meanwhile.
    pub(super) const fn can_stream(&self) -> bool {
        self.has_side_band
    }

    /// Packs a line, and sends what is packed when it is time.
    pub(super) async fn say(&mut self, line: &str) -> Result<(), Gone> {
        if !self.has_side_band {
            return Ok(());
        }
        let mut text = sideband::sanitize(line);
        text.push('\n');
        self.packed.extend_from_slice(text.as_bytes());
        if self.packed.len() >= FULL || self.sent_at.elapsed() >= FLUSH_EVERY {
            self.flush().await?;
        }
        Ok(())
    }

    /// Returns when something has to be sent although nobody says anything. Then call [`Wire::tick`].
    pub(super) async fn due(&self) {
        let patience = if self.packed.is_empty() { KEEPALIVE_EVERY } else { FLUSH_EVERY };
        tokio::time::sleep_until(self.sent_at + patience).await;
    }

    pub(super) async fn tick(&mut self) -> Result<(), Gone> {
        if !self.packed.is_empty() {
            return self.flush().await;
        }
        if !self.has_side_band {
            self.sent_at = Instant::now();
            return Ok(());
        }
        self.send(Bytes::from_static(sideband::KEEPALIVE)).await
    }

    pub(super) async fn flush(&mut self) -> Result<(), Gone> {
        if self.packed.is_empty() {
            return Ok(());
        }
        let text = std::mem::take(&mut self.packed);
        let mut packets = Vec::with_capacity(text.len() + 16);
        sideband::encode(sideband::Band::Progress, &text, &mut packets);
        self.send(packets.into()).await
    }

    async fn send(&mut self, bytes: Bytes) -> Result<(), Gone> {
        let sent = self.to.send(bytes).await.map_err(|_| Gone);
        self.sent_at = Instant::now();
        sent
    }

    /// The last words: what became of each update.
    pub(super) async fn report(mut self, verdicts: &[Verdict]) -> Result<(), Gone> {
        self.flush().await?;
        if !self.has_report {
            return Ok(());
        }
        let report = report::encode(Ok(()), verdicts);
        if !self.has_side_band {
            return self.send(report.into()).await;
        }
        let mut packets = Vec::with_capacity(report.len() + 16);
        sideband::encode(sideband::Band::Data, &report, &mut packets);
        packets.extend_from_slice(pkt_line::FLUSH);
        self.send(packets.into()).await
    }
}

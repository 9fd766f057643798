//! The byte stream inside `Control.Session`: its messages carry the pieces of a connection in which we are the server.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bollard_buildkit_proto::moby::buildkit::v1::BytesMessage;
use bytes::{Buf, Bytes};
use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;
use tonic::Streaming;

const PIECE_MAX: usize = 1 << 20;

pub(crate) struct Tunnel {
    incoming: Streaming<BytesMessage>,
    unread: Bytes,
    outgoing: PollSender<BytesMessage>,
}

impl Tunnel {
    pub(crate) fn new(incoming: Streaming<BytesMessage>, outgoing: mpsc::Sender<BytesMessage>) -> Tunnel {
        Tunnel { incoming, unread: Bytes::new(), outgoing: PollSender::new(outgoing) }
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            match ready!(Pin::new(&mut self.incoming).poll_next(cx)) {
                Some(Ok(message)) => self.unread = message.data.into(),
                Some(Err(status)) => return Poll::Ready(Err(io::Error::other(status))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let len = self.unread.len().min(out.remaining());
        out.put_slice(&self.unread[..len]);
        self.unread.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        ready!(self.outgoing.poll_reserve(cx)).map_err(|_| closed())?;
        let piece = &bytes[..bytes.len().min(PIECE_MAX)];
        self.outgoing.send_item(BytesMessage { data: piece.to_vec() }).map_err(|_| closed())?;
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.close();
        Poll::Ready(Ok(()))
    }
}

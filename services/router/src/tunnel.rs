//! Connections that stopped being HTTP, such as web sockets: bytes are carried both ways until one side ends.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;

pub(crate) async fn carry(client: OnUpgrade, server: OnUpgrade, shutdown: CancellationToken) {
    let carried = async {
        let (client, server) = tokio::try_join!(client, server).map_err(std::io::Error::other)?;
        tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(server)).await
    };
    tokio::select! {
        ended = carried => match ended {
            Ok((up, down)) => tracing::debug!(up, down, "an upgraded connection ended"),
            Err(error) => tracing::debug!("an upgraded connection broke: {error}"),
        },
        () = shutdown.cancelled() => {}
    }
}

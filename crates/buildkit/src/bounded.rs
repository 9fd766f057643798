//! A channel that is bounded by what its items hold, not by how many they are: a thousand lines may be a few kilobytes or
//! a gigabyte.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// What an item takes besides what it holds.
const ITEM: usize = 64;

/// A channel in which items wait that hold so many bytes together.
pub fn channel<T>(room: u32) -> (Sender<T>, Receiver<T>) {
    let (items, waiting) = mpsc::unbounded_channel();
    let free = Arc::new(Semaphore::new(room as usize));
    (Sender { items, free: free.clone(), room }, Receiver { waiting, free })
}

#[derive(Debug)]
pub struct Sender<T> {
    items: mpsc::UnboundedSender<(T, OwnedSemaphorePermit)>,
    free: Arc<Semaphore>,
    room: u32,
}

/// The receiver is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the channel is closed")]
pub struct Closed;

impl<T> Sender<T> {
    /// Waits until there is room for `bytes`; what holds more than the whole channel waits until it is empty.
    pub async fn send(&self, item: T, bytes: usize) -> Result<(), Closed> {
        let bytes = u32::try_from(bytes.saturating_add(ITEM)).unwrap_or(self.room).min(self.room);
        let taken = self.free.clone().acquire_many_owned(bytes).await.map_err(|_| Closed)?;
        self.items.send((item, taken)).map_err(|_| Closed)
    }
}

#[derive(Debug)]
pub struct Receiver<T> {
    waiting: mpsc::UnboundedReceiver<(T, OwnedSemaphorePermit)>,
    free: Arc<Semaphore>,
}

impl<T> Receiver<T> {
    /// `None`: nothing waits, and every sender is gone.
    pub async fn recv(&mut self) -> Option<T> {
        self.waiting.recv().await.map(|(item, _)| item)
    }

    /// What waits already.
    pub fn try_recv(&mut self) -> Option<T> {
        self.waiting.try_recv().ok().map(|(item, _)| item)
    }
}

impl<T> Drop for Receiver<T> {
    /// Whoever waits for room is told.
    fn drop(&mut self) {
        self.free.close();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn items_wait_for_room_and_not_for_places() {
        let (sender, mut receiver) = channel(1000);
        for n in 0..10 {
            sender.send(n, 0).await.unwrap();
        }
        assert!(sender.send(10, 400).now_or_never().is_none(), "640 of 1000 bytes are taken");
        for n in 0..10 {
            assert_eq!(receiver.recv().await, Some(n));
        }
        sender.send(10, 1 << 20).now_or_never().unwrap().unwrap();
        assert!(sender.send(11, 0).now_or_never().is_none(), "all of it is taken by what holds more");
        assert_eq!((receiver.try_recv(), receiver.try_recv()), (Some(10), None));
    }

    #[tokio::test]
    async fn who_waits_for_a_receiver_that_goes_away_is_told() {
        let (sender, receiver) = channel(100);
        sender.send((), 100).await.unwrap();
        let (sent, ()) = tokio::join!(sender.send((), 100), async { drop(receiver) });
        assert_eq!(sent, Err(Closed));
    }
}

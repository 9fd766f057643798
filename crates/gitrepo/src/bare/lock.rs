//! The file locks of the repositories. A lock belongs to an opened file, and so to every process that inherited it.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::{Duration, Instant};

/// In each repository: shared by all that write there, exclusive for what must not run beside any of them.
pub(super) const NAME: &str = "slipway.lock";

const POLL: Duration = Duration::from_millis(10);

/// Holds a lock exclusively. A process that is just being started has a copy of the file until its program is loaded: what
/// this one ends is over for the copy as well.
#[derive(Debug)]
pub(super) struct Alone(File);

impl Drop for Alone {
    fn drop(&mut self) {
        self.0.unlock().ok();
    }
}

/// A handle for locking only: what is written to it goes nowhere.
pub(super) fn open(path: &Path) -> io::Result<File> {
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            File::options().create(true).truncate(false).write(true).open(path)?;
            File::open(path)
        }
        opened => opened,
    }
}

/// `None`: it was not free within `patience`. Blocks.
pub(super) fn alone(path: &Path, patience: Duration) -> io::Result<Option<Alone>> {
    let file = open(path)?;
    Ok(is_taken(patience, || file.try_lock())?.then(|| Alone(file)))
}

/// The same beside others, for as long as this process or one that got the file from it has it open.
pub(super) fn shared(path: &Path, patience: Duration) -> io::Result<Option<File>> {
    let file = open(path)?;
    Ok(is_taken(patience, || file.try_lock_shared())?.then_some(file))
}

fn is_taken(patience: Duration, take: impl Fn() -> Result<(), TryLockError>) -> io::Result<bool> {
    let since = Instant::now();
    loop {
        match take() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if since.elapsed() < patience => std::thread::sleep(POLL),
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

//! The file locks of the repositories. A lock belongs to an opened file, and so to every process that inherited it.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::{Duration, Instant};

/// In each repository: shared by all that write there, exclusive for what must not run beside any of them.
pub(super) const NAME: &str = "slipway.lock";

const POLL: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Shared,
    Exclusive,
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

/// `false`: it was not free within `patience`. Blocks.
pub(super) fn take(file: &File, kind: Kind, patience: Duration) -> io::Result<bool> {
    let since = Instant::now();
    loop {
        let tried = match kind {
            Kind::Shared => file.try_lock_shared(),
            Kind::Exclusive => file.try_lock(),
        };
        match tried {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if since.elapsed() < patience => std::thread::sleep(POLL),
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

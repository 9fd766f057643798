//! Waiting for a condition: the only kind of waiting the tests do.

use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const PAUSE: Duration = Duration::from_millis(50);

/// Asks until the answer is `Ok(Ok(value))`; an `Ok(Err(seen))` is what was seen instead, shown when time is up.
pub async fn until<T, S, F>(what: &str, at_most: Duration, mut ask: impl FnMut() -> F) -> Result<T>
where
    S: Debug,
    F: Future<Output = Result<Result<T, S>>>,
{
    let started = Instant::now();
    loop {
        let seen = match ask().await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(seen)) => format!("{seen:?}"),
            Err(error) => format!("{error:#}"),
        };
        if started.elapsed() > at_most {
            bail!("gave up waiting for {what} after {} s; last seen: {seen}", at_most.as_secs());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

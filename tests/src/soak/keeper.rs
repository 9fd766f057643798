//! Keeps a receiver running while it is killed: whoever ends it, the next one is started at once.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::process::Child;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::counts::Counts;
use super::faults::{self, Site};
use super::process;
use super::schedule::{Deed, Step};
use crate::receiver::{self, Receiver};

/// A receiver that ends by itself is started again as Kubernetes would, a little later.
const BREATH: Duration = Duration::from_millis(250);

/// Follows the schedule to its end, says so by `done`, and keeps the receiver running until `stop`.
pub async fn run(
    receiver: Receiver,
    steps: Vec<Step>,
    site: Site,
    counts: Arc<Counts>,
    done: CancellationToken,
    stop: CancellationToken,
) -> Result<()> {
    let mut child = receiver::start(&receiver)?;
    let mut breaking = JoinSet::new();
    for step in steps {
        rest(&receiver, &mut child, step.pause, &counts).await?;
        match step.deed {
            Deed::Kill(kill) => {
                process::kill(&mut child, &receiver.repositories, kill, step.choice).await?;
                counts.kills.add(1);
                if child.try_wait()?.is_some() {
                    child = receiver::start(&receiver)?;
                }
            }
            Deed::Fault(fault) => {
                over(&mut breaking).await?;
                breaking.spawn(faults::cause(site.clone(), fault, counts.clone()));
            }
        }
    }
    over(&mut breaking).await?;
    done.cancel();
    while !stop.is_cancelled() {
        rest(&receiver, &mut child, BREATH, &counts).await?;
    }
    child.kill().await?;
    process::kill_children(&receiver.repositories).await
}

/// One thing breaks at a time, while the killing goes on.
async fn over(breaking: &mut JoinSet<Result<()>>) -> Result<()> {
    while let Some(ended) = breaking.join_next().await {
        ended??;
    }
    Ok(())
}

/// Lets a time pass in which nobody kills.
async fn rest(receiver: &Receiver, child: &mut Child, pause: Duration, counts: &Counts) -> Result<()> {
    let until = Instant::now() + pause;
    while Instant::now() < until {
        tokio::select! {
            () = tokio::time::sleep_until(until) => {}
            ended = child.wait() => {
                ended?;
                counts.ended_by_themselves.add(1);
                tokio::time::sleep(BREATH).await;
                *child = receiver::start(receiver)?;
            }
        }
    }
    Ok(())
}

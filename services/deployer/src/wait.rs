//! Waits for the verdict on a roll-out: an answer through the routers, or a failure seen in the cluster.

use std::time::Duration;

use domain::reason::{Reason, ReasonCode};
use jiff::Timestamp;
use manifest::judge::{Expected, Failure, Rollout, judge};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use crate::fault::Halt;
use crate::gate::{self, Answered};
use crate::watch::Watch;
use crate::{Deployer, proof};

/// Stands behind doorbell and watch, and moves the clock of what is borne only for a while.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Returns when the release answers through every router; the error says why it does not.
pub(crate) async fn wait(
    deployer: &Deployer,
    namespace: &str,
    expected: &Expected,
    mut watch: Watch,
    mut rings: Receiver<Uuid>,
) -> Result<(), Halt> {
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut answered = Answered::NoRouter;
    loop {
        let ask = tokio::select! {
            () = watch.next() => false,
            () = rung(&mut rings, expected.release) => true,
            _ = look.tick() => true,
        };
        if ask {
            answered = gate::answered(deployer, expected.release).await?;
            watch.observed.answered = answered == Answered::ByAll;
        }
        match judge(&watch.observed, expected, Timestamp::now()) {
            Rollout::Progressing => {}
            Rollout::Answering => return Ok(()),
            Rollout::Failed(failure) => {
                if let Some(reason) = not_its_fault(&failure, &watch, &answered) {
                    return Err(reason.into());
                }
                return Err(proof::attach(&deployer.client, namespace, failure).await.into());
            }
        }
    }
}

/// A router switched to the release, or to so many that rings were lost.
async fn rung(rings: &mut Receiver<Uuid>, release: Uuid) {
    loop {
        match rings.recv().await {
            Ok(id) if id != release => {}
            Ok(_) | Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// A deadline that went by may be due to those who watch and ask.
fn not_its_fault(failure: &Failure, watch: &Watch, answered: &Answered) -> Option<Reason> {
    if failure.reason.code != ReasonCode::NeverReady {
        return None;
    }
    let message = match answered {
        Answered::NoRouter => "no router runs, so nothing can say that the new version answers".to_owned(),
        Answered::NotBy(routers) => {
            format!("the new version answers, but not to these routers: {}", routers.join(", "))
        }
        Answered::ByNone | Answered::ByAll => return watch.is_blind(),
    };
    Some(Reason::new(ReasonCode::Internal, message))
}

//! The gatekeeper: opens the readiness gate of a pod once every router sends requests to it.
//! A roll-out opens its own; later pods of what is live (moved, restarted elsewhere) are this loop's.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use domain::state::ReleaseState;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams};
use manifest::label;
use serde_json::json;
use store::answer::Answer;
use store::bell::{Channel, Listener};
use store::release::Release;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{Deployer, fault};

/// Stands behind the doorbell. Requests reach the pod meanwhile: only its readiness waits.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// Pods whose gate is open, or that are gone: not to be asked about again.
type Settled = Arc<Mutex<HashSet<(Uuid, String)>>>;

/// Which routers have a release's answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// No router runs.
    NoRouter,
    ByNone,
    /// These have not switched yet, others have.
    NotBy(Vec<String>),
    ByAll,
}

pub(crate) async fn answered(deployer: &Deployer, release_id: Uuid) -> Result<Answered> {
    let routers = store::answer::routers_alive(&deployer.db).await?;
    let answers = store::answer::of_release(&deployer.db, release_id).await?;
    Ok(compare(&routers, &answers))
}

fn compare(routers: &[String], answers: &[Answer]) -> Answered {
    if routers.is_empty() {
        return Answered::NoRouter;
    }
    let missing: Vec<String> = routers
        .iter()
        .filter(|router| !answers.iter().any(|answer| answer.router == **router))
        .cloned()
        .collect();
    match missing.len() {
        0 => Answered::ByAll,
        n if n == routers.len() => Answered::ByNone,
        _ => Answered::NotBy(missing),
    }
}

/// The pods that every router sends requests to.
fn reached<'a>(routers: &[String], answers: &'a [Answer]) -> HashSet<&'a str> {
    let pods: HashSet<&str> = answers.iter().map(|answer| answer.pod.as_str()).collect();
    let by = |pod: &str, router: &String| answers.iter().any(|it| it.pod == pod && it.router == *router);
    pods.into_iter()
        .filter(|pod| !routers.is_empty() && routers.iter().all(|router| by(pod, router)))
        .collect()
}

/// Passes the routers' rings on to the roll-outs, and looks after what is live.
pub(crate) async fn run(deployer: Arc<Deployer>, shutdown: CancellationToken) -> Result<()> {
    let settled = Settled::default();
    let mut listener = Listener::new(deployer.db.clone(), Channel::Answer);
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut visits = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            payload = listener.next() => {
                let Ok(release_id) = payload.parse::<Uuid>() else { continue };
                // Nobody listens when no roll-out runs.
                let _ = deployer.rings.send(release_id);
                visits.spawn(logged(visit_if_live(deployer.clone(), release_id, settled.clone())));
            }
            _ = look.tick(), if visits.is_empty() => {
                visits.spawn(logged(visit_all(deployer.clone(), settled.clone())));
            }
            Some(_) = visits.join_next() => {}
        }
    }
}

async fn logged(visit: impl Future<Output = Result<()>>) {
    if let Err(error) = visit.await {
        tracing::debug!("looking after readiness gates: {error:#}");
    }
}

async fn visit_all(deployer: Arc<Deployer>, settled: Settled) -> Result<()> {
    let mut live = HashSet::new();
    for environment in store::environment::all_named(&deployer.db).await? {
        if let Some(release) = store::release::live_of(&deployer.db, environment.id).await? {
            open(&deployer, &release, &settled).await?;
            live.insert(release.id);
        }
    }
    settled.lock().unwrap_or_else(PoisonError::into_inner).retain(|(release, _)| live.contains(release));
    Ok(())
}

async fn visit_if_live(deployer: Arc<Deployer>, release_id: Uuid, settled: Settled) -> Result<()> {
    match store::release::get(&deployer.db, release_id).await? {
        Some(release) if release.state.0 == ReleaseState::Live => open(&deployer, &release, &settled).await,
        _ => Ok(()),
    }
}

/// Opens the gates of a release that every router has just switched to.
pub(crate) async fn open_at_roll_out(deployer: &Deployer, release: &Release) -> Result<()> {
    open(deployer, release, &Settled::default()).await
}

async fn open(deployer: &Deployer, release: &Release, settled: &Settled) -> Result<()> {
    let routers = store::answer::routers_alive(&deployer.db).await?;
    let answers = store::answer::of_release(&deployer.db, release.id).await?;
    let pods = {
        let settled = settled.lock().unwrap_or_else(PoisonError::into_inner);
        let is_settled = |pod: &str| settled.contains(&(release.id, pod.to_owned()));
        reached(&routers, &answers).into_iter().filter(|pod| !is_settled(pod)).collect::<Vec<_>>()
    };
    if pods.is_empty() {
        return Ok(());
    }
    let Some(environment) = store::environment::get(&deployer.db, release.environment_id).await? else {
        return Ok(());
    };
    let api = Api::<Pod>::namespaced(deployer.client.clone(), &environment.namespace);
    for pod in pods {
        let condition = json!({"type": label::ANSWERS, "status": "True", "reason": "RouterAnswered"});
        let patch = Patch::Strategic(json!({"status": {"conditions": [condition]}}));
        match fault::request(api.patch_status(pod, &PatchParams::default(), &patch)).await {
            Err(error) if !fault::is_not_found(&error) => return Err(error.into()),
            Ok(_) | Err(_) => {}
        }
        settled.lock().unwrap_or_else(PoisonError::into_inner).insert((release.id, pod.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(pod: &str, router: &str) -> Answer {
        Answer { pod: pod.to_owned(), router: router.to_owned() }
    }

    #[test]
    fn every_router_must_have_switched() {
        let (a, b) = ("a".to_owned(), "b".to_owned());
        let both = [answer("web-1", "a"), answer("web-2", "b"), answer("web-1", "gone")];
        assert_eq!(compare(&[], &both), Answered::NoRouter);
        assert_eq!(compare(&[a.clone(), b.clone()], &both), Answered::ByAll);
        assert_eq!(compare(&[a.clone(), b.clone()], &both[..1]), Answered::NotBy(vec![b]));
        assert_eq!(compare(&[a, "c".to_owned()], &both[1..2]), Answered::ByNone);
    }

    #[test]
    fn a_gate_opens_for_the_pod_that_all_reach() {
        let routers = ["a".to_owned(), "b".to_owned()];
        let answers = [answer("web-1", "a"), answer("web-2", "b"), answer("web-2", "a")];
        assert_eq!(reached(&routers, &answers), HashSet::from(["web-2"]));
        assert_eq!(reached(&[], &answers), HashSet::new());
    }
}

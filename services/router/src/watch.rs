//! Watches the pods of all environments, asks the new ones, and publishes where requests go.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use arc_swap::ArcSwap;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod as KubePod;
use kube::api::Api;
use kube::runtime::utils::Backoff;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use manifest::label;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::ask;
use crate::record::Answer;
use crate::table::{self, Pod, Routes, Run, Table};

/// Whether the pods of the cluster are in sight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// The first list is not complete: what is not known may yet exist.
    NotYet,
    Clear,
    /// The watch broke: what is known still holds, but new pods are not seen.
    Lost,
}

/// How often a watch that broke is begun again. Not less and less often: no new version is served meanwhile.
struct EachSecond;

impl Iterator for EachSecond {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(Duration::from_secs(1))
    }
}

impl Backoff for EachSecond {
    fn reset(&mut self) {}
}

/// What the one task of this file owns.
struct State {
    table: Table,
    routes: Arc<ArcSwap<Routes>>,
    sight: watch::Sender<Sight>,
    answers: mpsc::Sender<Answer>,
    asking: JoinSet<Run>,
    asked: HashMap<Run, AbortHandle>,
    /// The pods of a list that has begun.
    listed: HashSet<String>,
}

pub(crate) async fn run(
    client: Client,
    routes: Arc<ArcSwap<Routes>>,
    sight: watch::Sender<Sight>,
    answers: mpsc::Sender<Answer>,
    shutdown: CancellationToken,
) -> Result<()> {
    let config = watcher::Config::default().labels(&format!("{}={}", label::MANAGED_BY, label::SLIPWAY));
    let mut changes = watcher(Api::<KubePod>::all(client), config).backoff(EachSecond).boxed();
    let mut state = State {
        table: Table::default(),
        routes,
        sight,
        answers,
        asking: JoinSet::new(),
        asked: HashMap::new(),
        listed: HashSet::new(),
    };
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            Some(change) = changes.next() => match change {
                Ok(change) => take(&mut state, change),
                Err(error) => {
                    tracing::warn!("watching pods: {error}");
                    lose_sight(&state.sight);
                }
            },
            Some(answered) = state.asking.join_next() => {
                if let Ok(run) = answered {
                    switch(&mut state, &run);
                }
            }
        }
    }
}

fn take(state: &mut State, change: watcher::Event<KubePod>) {
    match change {
        watcher::Event::Init => {
            state.listed.clear();
            return;
        }
        watcher::Event::InitApply(pod) => {
            state.listed.extend(pod.uid());
            keep(state, &pod);
            return;
        }
        watcher::Event::InitDone => {
            let listed = std::mem::take(&mut state.listed);
            state.table.retain(&listed);
        }
        watcher::Event::Apply(pod) => keep(state, &pod),
        watcher::Event::Delete(pod) => {
            if let Some(uid) = pod.uid() {
                state.table.remove(&uid);
            }
        }
    }
    publish(state);
    ask_new(state);
    state.sight.send_if_modified(|sight| std::mem::replace(sight, Sight::Clear) != Sight::Clear);
}

fn lose_sight(sight: &watch::Sender<Sight>) {
    sight.send_if_modified(|sight| {
        *sight == Sight::Clear && std::mem::replace(sight, Sight::Lost) == Sight::Clear
    });
}

fn keep(state: &mut State, pod: &KubePod) {
    let Some(pod) = table::read(pod) else {
        tracing::debug!(pod = pod.name_any(), namespace = pod.namespace(), "not a pod to route to");
        return;
    };
    if state.table.apply(pod.clone()) {
        tell(state, &pod);
    }
}

/// First the requests, then the record: what the record says must be so.
fn switch(state: &mut State, run: &Run) {
    state.asked.remove(run);
    let Some(pod) = state.table.answered(run).cloned() else { return };
    publish(state);
    tracing::info!(pod = pod.name, host = pod.host, version = pod.version, "answers");
    tell(state, &pod);
}

/// A full queue means that the database is away for long; the release is then recorded when the router starts again.
fn tell(state: &State, pod: &Pod) {
    if state.answers.try_send(Answer { release: pod.release, pod: pod.name.clone() }).is_err() {
        tracing::warn!(pod = pod.name, "its answer is not recorded: too many wait for the database");
    }
}

fn publish(state: &State) {
    let routes = state.table.routes();
    if **state.routes.load() != routes {
        state.routes.store(Arc::new(routes));
    }
}

/// Asks the runs that have not answered, and stops asking those that are gone.
fn ask_new(state: &mut State) {
    let mut wanted = HashSet::new();
    for (run, address, pod) in state.table.unanswered() {
        if !state.asked.contains_key(&run) {
            let (host, path) = (pod.host.clone(), pod.health_path.clone());
            let asked = run.clone();
            let handle = state.asking.spawn(async move {
                ask::until_it_answers(address, &host, &path).await;
                asked
            });
            state.asked.insert(run.clone(), handle);
        }
        wanted.insert(run);
    }
    state.asked.retain(|run, handle| {
        let keep = wanted.contains(run);
        if !keep {
            handle.abort();
        }
        keep
    });
}

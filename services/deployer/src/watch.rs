//! What the cluster shows of one roll-out, kept up to date by watches.

use std::collections::BTreeMap;

use domain::reason::{Reason, ReasonCode};
use futures::stream::{BoxStream, StreamExt as _};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::Api;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use manifest::judge::Observed;
use manifest::label;
use uuid::Uuid;

type Changes<K> = BoxStream<'static, watcher::Result<watcher::Event<K>>>;

pub(crate) struct Watch {
    pods: Changes<Pod>,
    events: Changes<Event>,
    deployment: Changes<Deployment>,
    pub(crate) observed: Observed,
    /// Set while the cluster cannot be seen.
    lost: Option<String>,
}

/// Watches the release's pods, and the events and the Deployment beside them.
pub(crate) fn start(client: &Client, namespace: &str, release: Uuid) -> Watch {
    let pods = watcher::Config::default().labels(&format!("{}={release}", label::RELEASE));
    let events = watcher::Config::default().fields("involvedObject.kind=Pod");
    let deployment = watcher::Config::default().fields(&format!("metadata.name={}", label::WEB));
    Watch {
        pods: watcher(Api::namespaced(client.clone(), namespace), pods).default_backoff().boxed(),
        events: watcher(Api::namespaced(client.clone(), namespace), events).default_backoff().boxed(),
        deployment: watcher(Api::namespaced(client.clone(), namespace), deployment).default_backoff().boxed(),
        observed: Observed::default(),
        lost: None,
    }
}

impl Watch {
    /// Waits for the next change and takes it in.
    pub(crate) async fn next(&mut self) {
        let taken = tokio::select! {
            Some(change) = self.pods.next() => change.map(|change| keep(&mut self.observed.pods, change)),
            Some(change) = self.events.next() => change.map(|change| keep(&mut self.observed.events, change)),
            Some(change) = self.deployment.next() => change.map(|change| {
                if let watcher::Event::Apply(it) | watcher::Event::InitApply(it) = change {
                    self.observed.deployment = Some(it);
                }
            }),
        };
        self.lost = taken.err().map(|error| error.to_string());
        if let Some(error) = &self.lost {
            tracing::debug!("watching a roll-out: {error}");
        }
    }

    /// A deadline that went by unseen is not the application's fault.
    pub(crate) fn is_blind(&self) -> Option<Reason> {
        let error = self.lost.as_ref()?;
        Some(Reason::new(ReasonCode::ClusterUnavailable, format!("the cluster cannot be watched: {error}")))
    }
}

fn keep<K: kube::Resource>(known: &mut BTreeMap<String, K>, change: watcher::Event<K>) {
    match change {
        watcher::Event::Apply(object) | watcher::Event::InitApply(object) => {
            known.insert(object.name_any(), object);
        }
        watcher::Event::Delete(object) => {
            known.remove(&object.name_any());
        }
        watcher::Event::Init => known.clear(),
        watcher::Event::InitDone => {}
    }
}

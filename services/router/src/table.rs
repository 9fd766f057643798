//! Which pods there are, which of them answered, and where an environment's requests go. Pure.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod as KubePod;
use manifest::label;
use uuid::Uuid;

/// A pod of an environment, as far as a router cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) uid: String,
    pub(crate) name: String,
    /// The first label of the environment's host.
    pub(crate) host: String,
    pub(crate) release: Uuid,
    pub(crate) version: i32,
    pub(crate) health_path: String,
    /// Where it listens, once it has an address.
    pub(crate) address: Option<SocketAddr>,
    /// The container's id while it runs: a container that starts again must answer again.
    pub(crate) run: Option<String>,
    pub(crate) leaving: bool,
    /// Its readiness gate is open: it answered before this router looked.
    pub(crate) open: bool,
}

/// `None`: not a pod that can be routed to. Its namespace must be the one its labels stand for, so that nobody takes
/// over a host by a label alone.
pub(crate) fn read(pod: &KubePod) -> Option<Pod> {
    let (labels, annotations) = (pod.metadata.labels.as_ref()?, pod.metadata.annotations.as_ref()?);
    let (app, env) = (labels.get(label::APP)?, labels.get(label::ENV)?);
    if pod.metadata.namespace.as_deref() != Some(domain::name::namespace(env, app).as_str()) {
        return None;
    }
    let status = pod.status.as_ref();
    let port: u16 = annotations.get(label::PORT)?.parse().ok()?;
    let ip = status.and_then(|status| status.pod_ip.as_deref()?.parse::<IpAddr>().ok());
    let container = status
        .and_then(|status| status.container_statuses.as_deref())
        .and_then(|containers| containers.iter().find(|container| container.name == label::WEB))
        .filter(|container| container.state.as_ref().is_some_and(|state| state.running.is_some()));
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    Some(Pod {
        uid: pod.metadata.uid.clone()?,
        name: pod.metadata.name.clone()?,
        host: domain::name::label(env, app),
        release: labels.get(label::RELEASE)?.parse().ok()?,
        version: labels.get(label::VERSION)?.parse().ok()?,
        health_path: annotations.get(label::HEALTH_PATH)?.clone(),
        address: ip.map(|ip| SocketAddr::new(ip, port)),
        run: container.and_then(|container| container.container_id.clone()),
        leaving: pod.metadata.deletion_timestamp.is_some(),
        open: conditions.iter().any(|it| it.type_ == label::ANSWERS && it.status == "True"),
    })
}

/// One run of a pod's container.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Run {
    pub(crate) uid: String,
    pub(crate) container: String,
}

#[derive(Debug)]
struct Entry {
    pod: Pod,
    /// The run that answered.
    answered: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    pods: HashMap<String, Entry>,
}

/// The pods of the greatest rank serve.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    stays: bool,
    version: i32,
}

/// Where the requests of a host go; never empty.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) authorities: Vec<Arc<str>>,
}

pub(crate) type Routes = HashMap<String, Target>;

impl Table {
    /// Takes in what the watch says of a pod. `true`: it answered before this router looked.
    pub(crate) fn apply(&mut self, pod: Pod) -> bool {
        match self.pods.get_mut(&pod.uid) {
            Some(entry) => {
                entry.pod = pod;
                false
            }
            None => {
                let answered = pod.run.clone().filter(|_| pod.open);
                let before = answered.is_some();
                self.pods.insert(pod.uid.clone(), Entry { pod, answered });
                before
            }
        }
    }

    pub(crate) fn remove(&mut self, uid: &str) {
        self.pods.remove(uid);
    }

    /// Forgets pods that a complete list did not hold.
    pub(crate) fn retain(&mut self, uids: &HashSet<String>) {
        self.pods.retain(|uid, _| uids.contains(uid));
    }

    /// The run answered; the pod, unless it has gone or started again meanwhile.
    pub(crate) fn answered(&mut self, run: &Run) -> Option<&Pod> {
        let entry = self.pods.get_mut(&run.uid)?;
        if entry.pod.run.as_ref() != Some(&run.container) {
            return None;
        }
        entry.answered = Some(run.container.clone());
        Some(&entry.pod)
    }

    /// The runs that are to be asked, and where.
    pub(crate) fn unanswered(&self) -> impl Iterator<Item = (Run, SocketAddr, &Pod)> {
        self.pods.values().filter_map(|Entry { pod, answered }| {
            let container = pod.run.clone()?;
            if pod.leaving || answered.as_ref() == Some(&container) {
                return None;
            }
            Some((Run { uid: pod.uid.clone(), container }, pod.address?, pod))
        })
    }

    /// For each host the pods that answered and run: of the highest version, and rather of those that stay. One that
    /// leaves still serves for a moment, which is better than nothing.
    pub(crate) fn routes(&self) -> Routes {
        let mut best = HashMap::<&str, (Rank, Vec<Arc<str>>)>::new();
        for Entry { pod, answered } in self.pods.values() {
            let Some(address) = pod.address.filter(|_| pod.run.is_some() && pod.run == *answered) else {
                continue;
            };
            let rank = Rank { stays: !pod.leaving, version: pod.version };
            let authority = address.to_string().into();
            match best.get_mut(pod.host.as_str()) {
                Some((of, authorities)) if *of == rank => authorities.push(authority),
                Some((of, _)) if *of > rank => {}
                _ => {
                    best.insert(&pod.host, (rank, vec![authority]));
                }
            }
        }
        best.into_iter().map(|(host, (_, authorities))| (host.to_owned(), Target { authorities })).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(n: u8, version: i32) -> Pod {
        Pod {
            uid: format!("u{n}"),
            name: format!("web-{n}"),
            host: "main--demo".to_owned(),
            release: Uuid::nil(),
            version,
            health_path: "/".to_owned(),
            address: Some(SocketAddr::from(([10, 0, 0, n], 8080))),
            run: Some("c1".to_owned()),
            leaving: false,
            open: false,
        }
    }

    fn run(pod: &Pod) -> Run {
        Run { uid: pod.uid.clone(), container: pod.run.clone().unwrap() }
    }

    fn serving(table: &Table) -> Vec<String> {
        let routes = table.routes();
        let mut all: Vec<String> = routes
            .get("main--demo")
            .into_iter()
            .flat_map(|it| &it.authorities)
            .map(|it| it.to_string())
            .collect();
        all.sort();
        all
    }

    #[test]
    fn the_highest_version_that_answered_serves() {
        let mut table = Table::default();
        table.apply(pod(1, 1));
        assert_eq!(serving(&table), [""; 0], "nothing answered yet");
        table.answered(&run(&pod(1, 1))).unwrap();
        table.apply(pod(2, 2));
        assert_eq!(serving(&table), ["10.0.0.1:8080"], "the new one has not answered");
        assert_eq!(table.unanswered().map(|(run, ..)| run).collect::<Vec<_>>(), [run(&pod(2, 2))]);
        table.answered(&run(&pod(2, 2))).unwrap();
        assert_eq!(serving(&table), ["10.0.0.2:8080"]);
        table.apply(pod(3, 2));
        table.answered(&run(&pod(3, 2))).unwrap();
        assert_eq!(serving(&table), ["10.0.0.2:8080", "10.0.0.3:8080"], "two pods of one version");
        table.remove("u2");
        table.remove("u3");
        assert_eq!(serving(&table), ["10.0.0.1:8080"], "falls back");
    }

    #[test]
    fn one_that_leaves_serves_only_alone() {
        let mut table = Table::default();
        for (n, version) in [(1, 1), (2, 2)] {
            table.apply(pod(n, version));
            table.answered(&run(&pod(n, version))).unwrap();
        }
        table.apply(Pod { leaving: true, ..pod(2, 2) });
        assert_eq!(serving(&table), ["10.0.0.1:8080"], "rather an older one that stays");
        table.apply(Pod { leaving: true, ..pod(1, 1) });
        assert_eq!(serving(&table), ["10.0.0.2:8080"]);
    }

    #[test]
    fn a_container_that_starts_again_answers_again() {
        let mut table = Table::default();
        table.apply(pod(1, 1));
        table.answered(&run(&pod(1, 1))).unwrap();
        table.apply(Pod { run: None, ..pod(1, 1) });
        assert_eq!(serving(&table), [""; 0], "it crashed");
        let again = Pod { run: Some("c2".to_owned()), open: true, ..pod(1, 1) };
        assert!(!table.apply(again.clone()), "the gate is that of the run before");
        assert_eq!(serving(&table), [""; 0]);
        assert!(table.answered(&run(&pod(1, 1))).is_none(), "an answer of the run before comes too late");
        table.answered(&run(&again)).unwrap();
        assert_eq!(serving(&table), ["10.0.0.1:8080"]);
    }

    #[test]
    fn what_answered_before_serves_at_once() {
        let mut table = Table::default();
        assert!(table.apply(Pod { open: true, ..pod(1, 1) }));
        assert_eq!(serving(&table), ["10.0.0.1:8080"]);
        table.retain(&HashSet::new());
        assert_eq!(serving(&table), [""; 0]);
    }

    fn kube_pod(namespace: &str) -> KubePod {
        serde_json::from_value(serde_json::json!({
            "metadata": {
                "name": "web-1", "uid": "u1", "namespace": namespace,
                "labels": {
                    label::APP: "demo", label::ENV: "main", label::VERSION: "3",
                    label::RELEASE: "00000000-0000-0000-0000-000000000000",
                },
                "annotations": {label::PORT: "8080", label::HEALTH_PATH: "/"},
            },
            "status": {
                "podIP": "10.0.0.1",
                "conditions": [{"type": label::ANSWERS, "status": "True"}],
                "containerStatuses": [{
                    "name": "web", "containerID": "c1", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                    "state": {"running": {}},
                }],
            },
        }))
        .unwrap()
    }

    #[test]
    fn pods_are_read_and_strangers_refused() {
        assert_eq!(read(&kube_pod("env-demo--main")), Some(Pod { open: true, ..pod(1, 3) }));
        assert_eq!(read(&kube_pod("elsewhere")), None);
    }
}

//! The objects of a release: a Deployment that names the image by digest, and a Service in front of it.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::label::{self, SERVICE_ACCOUNT, WEB};
use crate::{Object, Place};

/// Kept low: a test environment idles most of its life. What it may use at most is in the limits.
const REQUESTS: (&str, &str) = ("10m", "64Mi");
const LIMITS: (&str, &str) = ("1", "512Mi");

/// From the start of the pod's end: what is in flight has this long, of which the first second is before the signal,
/// because a router may still be learning that the pod leaves.
const GRACE_SECONDS: u32 = 5;
const PRE_STOP_SECONDS: u32 = 1;

const LIVENESS_PERIOD_SECONDS: u32 = 10;

#[derive(Debug, Clone, Copy)]
pub struct Release<'a> {
    pub id: Uuid,
    pub version: i32,
    /// `repository@sha256:...`
    pub image: &'a str,
    pub port: u16,
    pub health_path: &'a str,
}

#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Pods run in a user namespace of their own (`hostUsers: false`), so that an image that runs as root is admitted.
    pub user_namespaces: bool,
    /// How long a roll-out may take.
    pub rollout_seconds: u32,
}

/// What is applied, and stored with the release: applying it again later brings this very version back.
pub fn render(place: Place<'_>, release: &Release<'_>, settings: Settings) -> Vec<Object> {
    vec![service(place), deployment(place, release, settings)]
}

/// The pod that the Deployment among `objects` would create: a dry run of it shows what admission says to it,
/// which would otherwise surface only later, and not as an answer to us.
pub fn sample_pod(objects: &[Object]) -> Option<Object> {
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment")?;
    let template = &deployment["spec"]["template"];
    let mut metadata = template["metadata"].as_object().cloned().unwrap_or_default();
    metadata.insert("generateName".to_owned(), json!("dry-run-"));
    metadata.insert("namespace".to_owned(), deployment["metadata"]["namespace"].clone());
    Some(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}))
}

/// Whether two releases' objects are the same but for the image and what names the release.
pub fn differ_in_image_alone(one: &[Object], other: &[Object]) -> bool {
    without_image(one) == without_image(other)
}

fn without_image(objects: &[Object]) -> Vec<Object> {
    let mut objects = objects.to_vec();
    for template in objects.iter_mut().filter_map(|object| object.pointer_mut("/spec/template")) {
        if let Some(container) = template.pointer_mut("/spec/containers/0").and_then(Value::as_object_mut) {
            container.remove("image");
        }
        if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
            labels.remove(label::RELEASE);
            labels.remove(label::VERSION);
        }
    }
    objects
}

fn service(place: Place<'_>) -> Object {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": WEB, "namespace": place.namespace, "labels": label::of(place)},
        "spec": {
            "selector": selector(place),
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
        },
    })
}

/// One pod comes up beside the old one, which leaves only after the new one is ready, and that is when a router has
/// said so: the readiness gate is opened by the deployer.
fn deployment(place: Place<'_>, release: &Release<'_>, settings: Settings) -> Object {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": WEB, "namespace": place.namespace, "labels": label::of(place)},
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": settings.rollout_seconds,
            "selector": {"matchLabels": selector(place)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {
                "metadata": {"labels": pod_labels(place, release), "annotations": {
                    label::HEALTH_PATH: release.health_path,
                    label::PORT: release.port.to_string(),
                }},
                "spec": pod(release, settings),
            },
        },
    })
}

fn pod(release: &Release<'_>, settings: Settings) -> Value {
    let mut security = json!({"seccompProfile": {"type": "RuntimeDefault"}});
    if !settings.user_namespaces {
        security["runAsNonRoot"] = json!(true);
    }
    json!({
        "serviceAccountName": SERVICE_ACCOUNT,
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "hostUsers": !settings.user_namespaces,
        "readinessGates": [{"conditionType": label::ANSWERS}],
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": security,
        "containers": [container(release, settings)],
    })
}

/// No readiness probe: the router asks. The liveness probe is slower than the roll-out's own deadline, so that an
/// application that starts slowly is judged by us and not killed by the kubelet.
fn container(release: &Release<'_>, settings: Settings) -> Value {
    json!({
        "name": WEB,
        "image": release.image,
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": "PORT", "value": release.port.to_string()}],
        "ports": [{"name": "http", "containerPort": release.port, "protocol": "TCP"}],
        "resources": {
            "requests": {"cpu": REQUESTS.0, "memory": REQUESTS.1},
            "limits": {"cpu": LIMITS.0, "memory": LIMITS.1},
        },
        "livenessProbe": {
            "tcpSocket": {"port": "http"},
            "periodSeconds": LIVENESS_PERIOD_SECONDS,
            "failureThreshold": settings.rollout_seconds / LIVENESS_PERIOD_SECONDS + 1,
        },
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}},
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        },
    })
}

/// Cannot be changed once the Deployment exists.
fn selector(place: Place<'_>) -> Map<String, Value> {
    let mut labels = label::of(place);
    labels.insert(label::NAME.to_owned(), json!(WEB));
    labels
}

fn pod_labels(place: Place<'_>, release: &Release<'_>) -> Map<String, Value> {
    let mut labels = selector(place);
    labels.insert(label::RELEASE.to_owned(), json!(release.id.to_string()));
    labels.insert(label::VERSION.to_owned(), json!(release.version.to_string()));
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'_> = Place { app: "demo", env: "main", namespace: "env-demo--main" };
    const RELEASE: Release<'_> = Release {
        id: Uuid::nil(),
        version: 3,
        image: "registry:5000/demo@sha256:0000",
        port: 3000,
        health_path: "/healthz",
    };

    #[test]
    fn objects_of_a_release() {
        insta::assert_json_snapshot!(render(
            PLACE,
            &RELEASE,
            Settings { user_namespaces: true, rollout_seconds: 120 }
        ));
    }

    #[test]
    fn a_new_image_alone_is_no_difference() {
        let settings = Settings { user_namespaces: true, rollout_seconds: 120 };
        let live = render(PLACE, &RELEASE, settings);
        let next =
            Release { id: Uuid::max(), version: 4, image: "registry:5000/demo@sha256:1111", ..RELEASE };
        assert!(differ_in_image_alone(&live, &render(PLACE, &next, settings)));
        let other_port = Release { port: 4000, ..next };
        assert!(!differ_in_image_alone(&live, &render(PLACE, &other_port, settings)));
    }

    #[test]
    fn without_user_namespaces_root_is_refused() {
        let objects = render(PLACE, &RELEASE, Settings { user_namespaces: false, rollout_seconds: 120 });
        let pod = &objects[1]["spec"]["template"]["spec"];
        assert_eq!(pod["hostUsers"], true);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    }

    #[test]
    fn the_kubelet_is_more_patient_than_the_deadline() {
        for rollout_seconds in [5, 60, 119, 120, 600] {
            let objects = render(PLACE, &RELEASE, Settings { user_namespaces: true, rollout_seconds });
            let probe = &objects[1]["spec"]["template"]["spec"]["containers"][0]["livenessProbe"];
            let patience =
                probe["periodSeconds"].as_u64().unwrap() * probe["failureThreshold"].as_u64().unwrap();
            assert!(patience > u64::from(rollout_seconds), "{rollout_seconds}");
        }
    }

    #[test]
    fn the_sample_pod_is_the_template() {
        let objects = render(PLACE, &RELEASE, Settings { user_namespaces: true, rollout_seconds: 120 });
        let pod = sample_pod(&objects).unwrap();
        assert_eq!(pod["spec"], objects[1]["spec"]["template"]["spec"]);
        assert_eq!(pod["metadata"]["namespace"], PLACE.namespace);
        assert_eq!(pod["metadata"]["labels"][label::VERSION], "3");
        assert_eq!(sample_pod(&objects[..1]), None);
    }
}

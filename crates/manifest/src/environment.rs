//! The objects that make a namespace an environment: its rights, its limits and its walls.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use crate::label::{self, PULL_SECRET, SERVICE_ACCOUNT};
use crate::{Object, Place};

/// Where Slipway itself runs, and who may act in environments.
const PLATFORM_NAMESPACE: &str = "slipway";
const DEPLOYER: &str = "slipway-deployer";
const ROUTER: &str = "slipway-router";
const ENVIRONMENT_ROLE: &str = "slipway-env-deployer";

/// Addresses of nodes, of the cluster and of cloud metadata services: an environment has no business there.
const PRIVATE_V4: [&str; 4] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"];
const PRIVATE_V6: [&str; 2] = ["fc00::/7", "fe80::/10"];

/// The namespace; it comes before all else.
pub fn namespace(place: Place<'_>) -> Object {
    let mut labels = label::of(place);
    labels.insert("pod-security.kubernetes.io/enforce".to_owned(), json!("restricted"));
    labels.insert("pod-security.kubernetes.io/enforce-version".to_owned(), json!("latest"));
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place.namespace, "labels": labels}})
}

/// The deployer's own rights in the namespace; it comes right after it, before what needs these rights.
pub fn role_binding(place: Place<'_>) -> Object {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata(place, DEPLOYER),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": ENVIRONMENT_ROLE},
        "subjects": [{"kind": "ServiceAccount", "name": DEPLOYER, "namespace": PLATFORM_NAMESPACE}],
    })
}

/// What else stands in the namespace, in any order. With `pull_secret` the pods pull with [`pull_secret`]'s Secret.
pub fn walls(place: Place<'_>, pull_secret: bool) -> Vec<Object> {
    vec![quota(place), limits(place), default_deny(place), holes(place), service_account(place, pull_secret)]
}

/// The registry's credentials as the kubelet wants them: a docker `config.json`.
pub fn pull_secret(place: Place<'_>, docker_config: &[u8]) -> Object {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": metadata(place, PULL_SECRET),
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": BASE64_STANDARD.encode(docker_config)},
    })
}

/// Room for one pod with its default limits beside several that are on their way out.
fn quota(place: Place<'_>) -> Object {
    json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata(place, "environment"),
        "spec": {"hard": {
            "pods": "20", "requests.cpu": "2", "requests.memory": "4Gi", "limits.cpu": "20", "limits.memory": "16Gi",
            "persistentvolumeclaims": "4", "services.loadbalancers": "0", "services.nodeports": "0",
        }},
    })
}

fn limits(place: Place<'_>) -> Object {
    json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": metadata(place, "environment"),
        "spec": {"limits": [{
            "type": "Container",
            "defaultRequest": {"cpu": "10m", "memory": "64Mi"},
            "default": {"cpu": "1", "memory": "512Mi"},
        }]},
    })
}

fn default_deny(place: Place<'_>) -> Object {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata(place, "default-deny"),
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    })
}

/// DNS has no destination: some clusters answer it on a node's address.
fn holes(place: Place<'_>) -> Object {
    let router = json!({
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": PLATFORM_NAMESPACE}},
        "podSelector": {"matchLabels": {label::NAME: ROUTER}},
    });
    let same_namespace = json!({"podSelector": {}});
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata(place, "environment"),
        "spec": {
            "podSelector": {},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [same_namespace, router]}],
            "egress": [
                {"to": [same_namespace]},
                {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]},
                {"to": [
                    {"ipBlock": {"cidr": "0.0.0.0/0", "except": PRIVATE_V4}},
                    {"ipBlock": {"cidr": "::/0", "except": PRIVATE_V6}},
                ]},
            ],
        },
    })
}

/// Its token is mounted nowhere; it exists to carry the pull Secret.
fn service_account(place: Place<'_>, pull_secret: bool) -> Object {
    let secrets = if pull_secret { vec![json!({"name": PULL_SECRET})] } else { Vec::new() };
    json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(place, SERVICE_ACCOUNT),
        "automountServiceAccountToken": false,
        "imagePullSecrets": secrets,
    })
}

fn metadata(place: Place<'_>, name: &str) -> Object {
    json!({"name": name, "namespace": place.namespace, "labels": label::of(place)})
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'_> = Place { app: "demo", env: "main", namespace: "env-demo--main" };

    #[test]
    fn objects_of_an_environment() {
        let mut objects = vec![namespace(PLACE), role_binding(PLACE)];
        objects.extend(walls(PLACE, false));
        insta::assert_json_snapshot!(objects);
    }

    #[test]
    fn a_pull_secret_is_used_by_the_service_account() {
        let account = walls(PLACE, true).pop().unwrap();
        assert_eq!(account["imagePullSecrets"][0]["name"], PULL_SECRET);
        let secret = pull_secret(PLACE, b"{}");
        assert_eq!(secret["metadata"]["name"], PULL_SECRET);
        assert_eq!(secret["data"][".dockerconfigjson"], "e30=");
    }
}

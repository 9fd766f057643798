//! Puts Slipway into a cluster: its Secrets, then an overlay of deploy/ with the images set, then waits for its pods.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::images::Image;
use crate::layout::Layout;
use crate::platform::{WEB_URL, node, postgres};
use crate::progress::{note, step};
use crate::{command, secret};

mod kustomize;
mod rollout;

pub(crate) const NAMESPACE: &str = "slipway";
/// Where the pods of deploy/ run.
pub(crate) const NAMESPACES: &[&str] = &[NAMESPACE, "slipway-build"];
/// The image that deploy/overlays/cluster names, for --image to take its place.
const PLACEHOLDER: &str = "registry.example.com/slipway/slipwayd";

/// The user that Slipway's pods run as; deploy/base/role.yaml says so.
const POD_USER: u32 = 65532;

/// An overlay, what is set in it, and the folder for the kustomization that does so.
#[derive(Debug)]
struct Rendering {
    overlay: PathBuf,
    images: Vec<Substitute>,
    /// Objects as far as they differ from the overlay's.
    patches: Vec<Value>,
    folder: PathBuf,
}

/// Slipway's images for an overlay: the name it uses, and the reference that takes its place.
#[derive(Debug)]
struct Substitute {
    name: String,
    reference: String,
}

/// Deploys onto this machine's platform.
pub(crate) fn local(layout: &Layout, images: &[Image]) -> anyhow::Result<()> {
    let token = secret::read_or_make(&layout.admin_token())?;
    let secrets = [
        namespace(),
        secret_object("slipway-database", &json!({"url": postgres::slipway_url(layout)?})),
        secret_object("slipway-admin", &json!({"token": token})),
        vault(&secret::read_or_make(&layout.secret("vault-key"))?)?,
    ];
    let images: Vec<Substitute> = images
        .iter()
        .map(|image| Substitute { name: image.name.clone(), reference: image.reference() })
        .collect();
    let rendering = Rendering {
        overlay: layout.repo.join("deploy/overlays/local"),
        images,
        patches: vec![repositories_at(&make_repositories(layout)?)],
        folder: layout.data.join("deploy"),
    };
    deploy(&|| node::kubectl(layout), &secrets, &rendering, &layout.log("rollout"))
}

/// The folder of the git repositories. A pod that is not root writes there, so it is made here and given to its user.
fn make_repositories(layout: &Layout) -> anyhow::Result<PathBuf> {
    let place = layout.data.join("repositories");
    let make = || {
        fs::create_dir_all(&place)?;
        fs::set_permissions(&place, Permissions::from_mode(0o700))?;
        chown(&place, Some(POD_USER), Some(POD_USER))
    };
    make().with_context(|| format!("cannot make {} for the receiver", place.display()))?;
    Ok(place)
}

/// Tells the receiver's pod where that folder is on this machine.
fn repositories_at(place: &Path) -> Value {
    let volume = json!({"name": "repositories", "hostPath": {"path": place, "type": "Directory"}});
    json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "slipway-receiver", "namespace": NAMESPACE},
        "spec": {"template": {"spec": {"volumes": [volume]}}},
    })
}

/// `up --context`: deploys onto a cluster that is there. Secrets that are there too are kept.
pub(crate) fn other_cluster(layout: &Layout, context: &str, image: &str) -> anyhow::Result<()> {
    anyhow::ensure!(command::exists("kubectl"), "--context needs kubectl on the PATH");
    let kubectl = || {
        let mut kubectl = Command::new("kubectl");
        kubectl.args(["--context", context]);
        kubectl
    };
    command::output(kubectl().args(["get", "--raw", "/readyz"]))
        .with_context(|| format!("the cluster of context {context} does not answer"))?;
    let mut objects = vec![namespace()];
    let exists =
        |name: &str| command::succeeds(kubectl().args(["--namespace", NAMESPACE, "get", "secret", name]));
    if !exists("slipway-database") {
        let password = secret::random()?;
        let url = format!("postgres://slipway:{password}@postgres:5432/slipway");
        objects.push(secret_object("slipway-database", &json!({"password": password, "url": url})));
    }
    if !exists("slipway-admin") {
        objects.push(secret_object("slipway-admin", &json!({"token": secret::random()?})));
    }
    if !exists("slipway-vault") {
        objects.push(vault(&secret::random()?)?);
    }
    let rendering = Rendering {
        overlay: layout.repo.join("deploy/overlays/cluster"),
        images: vec![Substitute { name: PLACEHOLDER.to_owned(), reference: image.to_owned() }],
        patches: Vec::new(),
        folder: layout.cache.join("contexts").join(context.replace('/', "-")),
    };
    deploy(&kubectl, &objects, &rendering, &layout.compile_log("rollout"))?;
    let read = "get secret slipway-admin --output 'go-template={{.data.token | base64decode}}'";
    note(&format!(
        "Slipway runs in the cluster of context {context}, set up as deploy/overlays/cluster says"
    ));
    note(&format!("log in: token from `kubectl --context {context} --namespace {NAMESPACE} {read}`"));
    Ok(())
}

/// How a person logs in on this machine.
pub(crate) fn how_to_log_in(layout: &Layout) -> Vec<String> {
    let token = layout.admin_token();
    vec![
        format!("log in: token in {}", token.display()),
        format!("  show it: cat {}", token.display()),
        format!("  command line: slipway login {WEB_URL} --token-file {}", token.display()),
    ]
}

fn deploy(
    kubectl: &dyn Fn() -> Command,
    before: &[Value],
    rendering: &Rendering,
    log: &Path,
) -> anyhow::Result<()> {
    step("deploy Slipway", Some(log), || {
        // A manager of its own: the overlay owns the rest of the namespace.
        apply(
            kubectl,
            "slipway-install",
            &json!({"apiVersion": "v1", "kind": "List", "items": before}).to_string(),
        )?;
        let manifests = kustomize::render(kubectl, rendering)?;
        // Before it kept repositories the receiver was a Deployment, whose pods would go on beside the new one.
        let former =
            ["--namespace", NAMESPACE, "delete", "deployment", "slipway-receiver", "--ignore-not-found"];
        command::output(kubectl().args(former))?;
        apply(kubectl, "slipway-deploy", &manifests)?;
        rollout::wait(kubectl, NAMESPACES, log)
    })
}

fn apply(kubectl: &dyn Fn() -> Command, manager: &str, manifests: &str) -> anyhow::Result<()> {
    let manager = format!("--field-manager={manager}");
    let args = ["apply", "--server-side", "--force-conflicts", &manager, "--filename", "-"];
    command::output_with_input(kubectl().args(args), manifests).map(drop)
}

/// The key under which build secrets lie in the database: a secret of ours, in the form in which the vault reads it.
fn vault(secret: &str) -> anyhow::Result<Value> {
    Ok(secret_object("slipway-vault", &json!({"key": STANDARD.encode(hex::decode(secret)?)})))
}

fn namespace() -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
}

fn secret_object(name: &str, data: &Value) -> Value {
    let metadata = json!({"name": name, "namespace": NAMESPACE});
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "stringData": data})
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A volume of another name would be added instead of taking the overlay's place.
    #[test]
    fn the_patch_meets_the_volume_of_the_overlay() {
        let overlay = include_str!("../../../deploy/overlays/local/repositories.yaml");
        let patch = repositories_at(Path::new("/d/repositories"));
        let volume = &patch["spec"]["template"]["spec"]["volumes"][0];
        assert_eq!(volume["hostPath"]["path"], "/d/repositories");
        let name = volume["name"].as_str().unwrap();
        assert!(overlay.contains(&format!("value: {{name: {name}, hostPath: {{path: ")), "{overlay}");
        let base = include_str!("../../../deploy/base/receiver.yaml");
        assert!(base.contains(&format!("- {{name: {name}, mountPath: ")), "{base}");
    }

    /// A policy without a port opens all of them, one with a port that no pod has opens none, and of two selectors that
    /// are items of their own either lets in.
    #[test]
    fn prometheus_reaches_the_port_of_the_metrics_alone() {
        let policies = include_str!("../../../deploy/base/network.yaml");
        let name = "name: prometheus-to-metrics\n";
        let policy = policies.split("---\n").find(|policy| policy.contains(name)).unwrap();
        let (_, rules) = policy.split_once("  ingress:\n").unwrap();
        let items: Vec<&str> =
            rules.lines().map(str::trim).filter_map(|line| line.strip_prefix("- ")).collect();
        let [from, namespace, port] = items.as_slice() else { panic!("{items:?}") };
        assert_eq!((*from, *port), ("from:", "{port: admin}"));
        assert!(namespace.starts_with("namespaceSelector: {matchLabels: "), "{namespace}");
        assert!(rules.contains("\n      podSelector: {matchLabels: "), "{rules}");
        let role = include_str!("../../../deploy/base/role.yaml");
        assert!(role.contains("- {name: admin, containerPort: "), "{role}");
    }
}

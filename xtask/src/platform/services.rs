//! The table of processes that make the node: program, arguments, configuration, ports, and when each is ready.

use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::parts::{self, deploy_file};
use super::{forge, postgres, values};
use crate::args::Forge;
use crate::layout::Layout;
use crate::template;

/// A process of the node, ready to be started.
#[derive(Debug)]
pub(crate) struct Service {
    pub name: &'static str,
    pub version: String,
    /// Where it is reached.
    pub address: &'static str,
    pub ports: &'static [(&'static str, u16)],
    pub program: PathBuf,
    pub args: Vec<String>,
    pub env: Vec<(&'static str, String)>,
    pub user: Option<&'static str>,
    pub ready: Ready,
    /// Services of a wave start together, once those of the waves before are ready.
    pub wave: u8,
    /// The signal that makes it end soon and in order.
    pub stop_signal: &'static str,
    /// Changes when anything it was started with changes.
    pub fingerprint: String,
    /// The forge that it is; nothing for what Slipway stands on.
    pub forge: Option<Forge>,
}

#[derive(Debug, Clone)]
pub(crate) enum Ready {
    /// Something listens there.
    Listens(&'static str),
    /// This program of the platform succeeds.
    Succeeds(Vec<String>),
}

/// A row of the table: as `Service`, with templates not yet filled.
struct Recipe {
    name: &'static str,
    part: &'static str,
    address: &'static str,
    ports: &'static [(&'static str, u16)],
    args: &'static str,
    config: &'static str,
    ready: Check,
    wave: u8,
}

enum Check {
    Listens(&'static str),
    Succeeds(&'static str),
}

const API_SERVER: &str = "https://10.244.0.1:6443";

/// In the order in which they start.
#[rustfmt::skip]
const RECIPES: &[Recipe] = &[
    Recipe { name: "containerd", part: "containerd", wave: 0, ports: &[],
        address: "/run/slipway/containerd.sock",
        args: deploy_file!("node/containerd.args"), config: deploy_file!("node/containerd.toml"),
        ready: Check::Succeeds("ctr --address {{RUN}}/containerd.sock version") },
    Recipe { name: "etcd", part: "kubernetes", wave: 0, ports: &[("127.0.0.1", 2379), ("127.0.0.1", 2380)],
        address: "http://127.0.0.1:2379",
        args: deploy_file!("node/etcd.args"), config: "",
        ready: Check::Listens("127.0.0.1:2379") },
    Recipe { name: "registry", part: "registry", wave: 0, ports: &[("10.244.0.1", 5000)],
        address: "http://10.244.0.1:5000",
        args: deploy_file!("node/registry.args"), config: deploy_file!("node/registry.yml"),
        ready: Check::Listens("10.244.0.1:5000") },
    Recipe { name: "buildkitd", part: "buildkit", wave: 0, ports: &[],
        address: "unix:///run/slipway/buildkitd.sock",
        args: deploy_file!("node/buildkitd.args"), config: deploy_file!("node/buildkitd.toml"),
        ready: Check::Succeeds("buildctl --addr unix://{{RUN}}/buildkitd.sock debug workers") },
    Recipe { name: "postgres", part: "", wave: 0, ports: &[("10.244.0.1", 5432)],
        address: "postgres://postgres@10.244.0.1:5432",
        args: deploy_file!("node/postgres.args"), config: postgres::CONFIG,
        ready: Check::Succeeds("pg_isready --quiet --host={{RUN}}/postgres") },
    Recipe { name: "gitea", part: "gitea", wave: 0, ports: &[("10.244.0.1", 3000)],
        address: "http://10.244.0.1:3000",
        args: deploy_file!("node/gitea.args"), config: forge::CONFIG,
        ready: Check::Succeeds("curl --silent --fail http://{{IP}}:3000/api/v1/version") },
    Recipe { name: "kube-apiserver", part: "kubernetes", wave: 1, ports: &[("10.244.0.1", 6443)],
        address: API_SERVER,
        args: deploy_file!("node/kube-apiserver.args"), config: "",
        ready: Check::Succeeds("kubectl --kubeconfig {{PKI}}/admin.kubeconfig get --raw /readyz") },
    Recipe { name: "kube-controller-manager", part: "kubernetes", wave: 2, ports: &[("127.0.0.1", 10257)],
        address: "https://127.0.0.1:10257",
        args: deploy_file!("node/kube-controller-manager.args"), config: "",
        ready: Check::Listens("127.0.0.1:10257") },
    Recipe { name: "kube-scheduler", part: "kubernetes", wave: 2, ports: &[("127.0.0.1", 10259)],
        address: "https://127.0.0.1:10259",
        args: deploy_file!("node/kube-scheduler.args"), config: "",
        ready: Check::Listens("127.0.0.1:10259") },
    Recipe { name: "kubelet", part: "kubernetes", wave: 2, ports: &[("10.244.0.1", 10250), ("127.0.0.1", 10248)],
        address: "https://10.244.0.1:10250",
        args: deploy_file!("node/kubelet.args"), config: deploy_file!("node/kubelet.yaml"),
        ready: Check::Listens("127.0.0.1:10248") },
    Recipe { name: "kube-proxy", part: "kubernetes", wave: 2, ports: &[("127.0.0.1", 10249)],
        address: "http://127.0.0.1:10249",
        args: deploy_file!("node/kube-proxy.args"), config: deploy_file!("node/kube-proxy.yaml"),
        ready: Check::Listens("127.0.0.1:10249") },
    Recipe { name: "coredns", part: "coredns", wave: 2, ports: &[("10.244.0.1", 53)],
        address: "dns://10.244.0.1:53",
        args: deploy_file!("node/coredns.args"), config: deploy_file!("node/Corefile"),
        ready: Check::Listens("10.244.0.1:53") },
];

pub(crate) fn all(layout: &Layout) -> anyhow::Result<Vec<Service>> {
    RECIPES.iter().map(|recipe| service(layout, recipe)).collect()
}

/// Those that run where this forge is asked for, or none.
pub(crate) fn wanted(layout: &Layout, forge: Option<Forge>) -> anyhow::Result<Vec<Service>> {
    let mut services = all(layout)?;
    services.retain(|service| service.forge.is_none() || service.forge == forge);
    Ok(services)
}

fn service(layout: &Layout, recipe: &Recipe) -> anyhow::Result<Service> {
    let fill = |text: &str| template::render(text, &values(layout));
    let args: Vec<String> = fill(recipe.args)?.lines().map(str::to_owned).collect();
    let version = version(recipe);
    let program = match recipe.name {
        "postgres" => postgres::program("postgres"),
        name => layout.bin(name),
    };
    let env = env(layout, recipe.name);
    let told = format!("{version}\n{}\n{args:?}\n{env:?}\n{}", program.display(), fill(recipe.config)?);
    Ok(Service {
        name: recipe.name,
        address: recipe.address,
        ports: recipe.ports,
        user: match recipe.name {
            "postgres" => Some(postgres::UNIX_USER),
            "gitea" => Some(forge::UNIX_USER),
            _ => None,
        },
        ready: match recipe.ready {
            Check::Listens(address) => Ready::Listens(address),
            Check::Succeeds(line) => Ready::Succeeds(fill(line)?.split(' ').map(str::to_owned).collect()),
        },
        wave: recipe.wave,
        // PostgreSQL takes TERM as "wait for every client", which never comes.
        stop_signal: if recipe.name == "postgres" { "INT" } else { "TERM" },
        fingerprint: hex::encode(&Sha256::digest(told)[..8]),
        forge: if recipe.part.is_empty() { None } else { parts::named(recipe.part).forge },
        version,
        program,
        args,
        env,
    })
}

fn version(recipe: &Recipe) -> String {
    match recipe.name {
        "postgres" => postgres::version(),
        "etcd" => {
            let go_mod = parts::named("kubernetes").go_mod;
            parts::required(go_mod, "go.etcd.io/etcd/server/v3").unwrap_or_default().to_owned()
        }
        _ => parts::named(recipe.part).version().to_owned(),
    }
}

fn env(layout: &Layout, name: &str) -> Vec<(&'static str, String)> {
    let path = || {
        format!("{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", layout.bin("").display())
    };
    match name {
        // They start runc and the shim by name.
        "containerd" => vec![("PATH", path())],
        // Without these a long log of a build step is clipped.
        "buildkitd" => vec![
            ("PATH", path()),
            ("BUILDKIT_STEP_LOG_MAX_SIZE", "-1".to_owned()),
            ("BUILDKIT_STEP_LOG_MAX_SPEED", "-1".to_owned()),
        ],
        "gitea" => forge::env(layout),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(data: &str) -> Layout {
        Layout { repo: "/r".into(), cache: "/c".into(), data: data.into() }
    }

    #[test]
    fn every_template_is_filled() {
        let services = all(&layout("/d")).unwrap();
        assert_eq!(services.len(), 12);
        let kubelet = services.iter().find(|service| service.name == "kubelet").unwrap();
        assert!(kubelet.args.contains(&"--root-dir=/d/kubelet".to_owned()), "{:?}", kubelet.args);
        assert!(services.iter().all(|service| service.args.iter().all(|arg| !arg.contains("{{"))));
    }

    #[test]
    fn gitea_runs_only_where_it_is_asked_for() {
        let runs =
            |forge| wanted(&layout("/d"), forge).unwrap().iter().any(|service| service.name == "gitea");
        assert!(!runs(None));
        assert!(runs(Some(Forge::Gitea)));
    }

    #[test]
    fn the_fingerprint_follows_the_configuration() {
        let fingerprint = |data| all(&layout(data)).unwrap()[0].fingerprint.clone();
        assert_eq!(fingerprint("/d"), fingerprint("/d"));
        assert_ne!(fingerprint("/d"), fingerprint("/e"));
    }
}

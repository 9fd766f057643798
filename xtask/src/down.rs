//! `cargo xtask down`: stops what `up` started, in an order in which each part can still end well, and removes what
//! pods left on the machine.

use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::layout::Layout;
use crate::platform::{RUN, checks, forge, network, process, remains, services};
use crate::progress::{note, step};
use crate::up;

/// First those that would start pods again. The API server does not end while etcd is gone, so it goes before it.
const BEFORE_PODS: &[&str] =
    &["kube-proxy", "coredns", "kubelet", "kube-scheduler", "kube-controller-manager", "gitea", "buildkitd"];
const AFTER_PODS: &[&str] = &["postgres", "registry", "kube-apiserver", "etcd", "containerd"];
/// Folders of the data that `up` fills. Nothing else is deleted, whatever --data points to.
const FOLDERS: &[&str] = &[
    "bin",
    "buildkit",
    "config",
    "containerd",
    "deploy",
    "etcd",
    "gitea",
    "images",
    "ipam",
    "kubelet",
    "logs",
    "pids",
    "pki",
    "pki.new",
    "postgres",
    "postgres.new",
    "registry",
    "repositories",
    "secrets",
];
/// Where the controller manager keeps volumes: the path is fixed in its code.
const VOLUMES: &str = "/tmp/hostpath_pv";

pub(crate) fn run(layout: &Layout, wipe: bool) -> anyhow::Result<()> {
    checks::root()?;
    if !layout.data.is_dir() {
        note(&format!("nothing to take down: there is no {}", layout.data.display()));
        return Ok(());
    }
    let lock = up::lock(layout)?;
    step("stop the platform", None, || stop(layout))?;
    if wipe {
        step(&format!("delete {}", layout.data.display()), None, || delete(layout))?;
    }
    drop(lock);
    Ok(())
}

fn stop(layout: &Layout) -> anyhow::Result<()> {
    let services = services::all(layout)?;
    let stop = |name: &&str| {
        let service = services.iter().find(|service| service.name == *name);
        process::stop(layout, name, service.map_or("TERM", |service| service.stop_signal))
    };
    BEFORE_PODS.iter().try_for_each(stop)?;
    remains::kill_pods(layout)?;
    AFTER_PODS.iter().try_for_each(stop)?;
    remains::unmount(layout)?;
    remains::remove_network_namespaces(layout)?;
    network::remove()?;
    remains::remove_firewall_rules()
}

fn delete(layout: &Layout) -> anyhow::Result<()> {
    for folder in FOLDERS {
        remove_folder(&layout.data.join(folder))?;
    }
    for file in [layout.admin_token(), layout.data.join("lock")] {
        fs::remove_file(file).ok();
    }
    remove_folder(Path::new(RUN))?;
    remove_folder(Path::new(VOLUMES))?;
    forge::remove_user()?;
    // Stays if somebody put something of their own there.
    fs::remove_dir(&layout.data).ok();
    Ok(())
}

fn remove_folder(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot delete {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_is_stopped() {
        let layout = Layout { repo: "/r".into(), cache: "/c".into(), data: "/d".into() };
        let mut started: Vec<&str> =
            services::all(&layout).unwrap().iter().map(|service| service.name).collect();
        let mut stopped: Vec<&str> = [BEFORE_PODS, AFTER_PODS].concat();
        started.sort_unstable();
        stopped.sort_unstable();
        assert_eq!(started, stopped);
    }
}

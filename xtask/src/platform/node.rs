//! Starts the node: installs the compiled programs, writes the configurations, starts what is not running in waves,
//! and waits until each part is ready.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::parts::{self, Part, deploy_file};
use super::process::{self, Outcome, Spec};
use super::services::{self, Ready, Service};
use super::{NODE, RUN, forge, network, pause, pki, postgres, values};
use crate::args::Forge;
use crate::command;
use crate::layout::Layout;
use crate::progress::{note, step};
use crate::template;

/// Configuration files beside those of the services' own arguments: path under DATA/config, template.
const CONFIGS: &[(&str, &str)] = &[
    ("containerd.toml", deploy_file!("node/containerd.toml")),
    ("certs.d/10.244.0.1:5000/hosts.toml", deploy_file!("node/registry-host.toml")),
    ("cni/10-pods.conflist", deploy_file!("node/cni.json")),
    ("kubelet.yaml", deploy_file!("node/kubelet.yaml")),
    ("kube-proxy.yaml", deploy_file!("node/kube-proxy.yaml")),
    ("Corefile", deploy_file!("node/Corefile")),
    ("registry.yml", deploy_file!("node/registry.yml")),
    ("buildkitd.toml", deploy_file!("node/buildkitd.toml")),
];
/// Names under which the one binary of Kubernetes plays each role.
const ROLES: &[&str] = &[
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "kubectl",
];
/// A cold start takes 7 s on two idle cores, some of them may be compiling.
const PATIENCE: Duration = Duration::from_secs(120);

/// Starts every part that does not run, in order. A forge that runs and is not asked for is left alone.
pub(crate) fn start(layout: &Layout, forge: Option<Forge>) -> anyhow::Result<()> {
    let services = services::wanted(layout, forge)?;
    let stopped = services.iter().filter(|service| process::running(layout, service.name).is_none()).count();
    if stopped == 0 {
        bring_up(layout, &services, forge)?;
        note(&format!("the platform's {} processes run", services.len()));
        return Ok(());
    }
    let what = format!("start the platform ({stopped} of {} processes)", services.len());
    step(&what, Some(&layout.data.join("logs")), || bring_up(layout, &services, forge))
}

/// The platform's kubectl, as administrator.
pub(crate) fn kubectl(layout: &Layout) -> Command {
    let mut kubectl = Command::new(layout.bin("kubectl"));
    kubectl.arg("--kubeconfig").arg(layout.kubeconfig());
    kubectl
}

fn bring_up(layout: &Layout, services: &[Service], forge: Option<Forge>) -> anyhow::Result<()> {
    install(layout, forge)?;
    network::prepare()?;
    pki::prepare(layout)?;
    write_configs(layout)?;
    postgres::prepare(layout)?;
    if forge.is_some() {
        forge::prepare(layout)?;
    }
    for wave in 0..=2 {
        let wave = || services.iter().filter(|service| service.wave == wave);
        wave().try_for_each(|service| ensure(layout, service).map(drop))?;
        wave().try_for_each(|service| wait(layout, service))?;
        if wave().any(|service| service.name == "containerd") {
            pause::ensure(layout)?;
        }
    }
    let objects = template::render(deploy_file!("node/cluster.yaml"), &values(layout))?;
    let apply = ["apply", "--server-side", "--force-conflicts", "--filename", "-"];
    command::output_with_input(kubectl(layout).args(apply), &objects)?;
    wait_for_node(layout)?;
    postgres::set_up(layout)?;
    if forge.is_some() {
        forge::set_up(layout)?;
    }
    Ok(())
}

/// Puts the programs where also the users that are not root can run them: the cache may lie in somebody's home.
fn install(layout: &Layout, forge: Option<Forge>) -> anyhow::Result<()> {
    let bin = layout.bin("");
    fs::create_dir_all(&bin).with_context(|| format!("cannot create {}", bin.display()))?;
    for folder in [&layout.data, &bin] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    }
    parts::wanted(forge).try_for_each(|part| install_part(layout, part, &bin))?;
    for role in ROLES {
        let link = bin.join(role);
        if fs::symlink_metadata(&link).is_err() {
            std::os::unix::fs::symlink("kubeall", &link)?;
        }
    }
    Ok(())
}

fn install_part(layout: &Layout, part: &Part, bin: &Path) -> anyhow::Result<()> {
    let mark = bin.join(format!(".{}", part.name));
    if fs::read_to_string(&mark).is_ok_and(|folder| folder == part.folder()) {
        return Ok(());
    }
    let source = layout.parts().join(part.folder()).join(".");
    let copy = |how: &str| {
        let mut cp = Command::new("cp");
        cp.args([how, "--remove-destination", "--no-target-directory"]).arg(&source).arg(bin);
        command::output(&mut cp)
    };
    // Links cost no space, but only work on one file system.
    copy("-rl").or_else(|_| copy("-r"))?;
    fs::write(&mark, part.folder()).with_context(|| format!("cannot write {}", mark.display()))
}

fn write_configs(layout: &Layout) -> anyhow::Result<()> {
    fs::create_dir_all(RUN).with_context(|| format!("cannot create {RUN}"))?;
    for (name, text) in CONFIGS {
        let path = layout.config(name);
        fs::create_dir_all(path.parent().expect("a configuration lies in a folder"))?;
        write_changed(&path, &template::render(text, &values(layout))?)?;
    }
    // A copy, so that a change of the machine's own does not reach pods half-way.
    let resolver = fs::read_to_string("/etc/resolv.conf").context("cannot read /etc/resolv.conf")?;
    write_changed(&layout.config("resolv.conf"), &resolver)
}

/// Leaves a file with the same content untouched: kube-proxy ends when its configuration is written.
fn write_changed(path: &Path, text: &str) -> anyhow::Result<()> {
    if fs::read_to_string(path).is_ok_and(|former| former == text) {
        return Ok(());
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn ensure(layout: &Layout, service: &Service) -> anyhow::Result<Outcome> {
    let mut command = match service.user {
        None => Command::new(&service.program),
        Some(user) => {
            let mut command = as_user(user);
            command.arg(&service.program);
            command
        }
    };
    command.args(&service.args).envs(service.env.iter().map(|(name, value)| (name, value)));
    let spec = Spec {
        name: service.name,
        command,
        stop_signal: service.stop_signal,
        fingerprint: service.fingerprint.clone(),
    };
    process::ensure(layout, spec)
}

/// Runs what follows as another user of the machine.
pub(crate) fn as_user(user: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--init-groups"]);
    command
}

fn wait(layout: &Layout, service: &Service) -> anyhow::Result<()> {
    let log = layout.log(service.name);
    let end = Instant::now() + PATIENCE;
    while !is_ready(layout, &service.ready) {
        let problem = match process::running(layout, service.name) {
            None => "ended right after its start",
            Some(_) if Instant::now() > end => "is not ready after two minutes",
            Some(_) => {
                std::thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        anyhow::bail!(
            "{} {problem}; the last lines of {}:\n{}",
            service.name,
            log.display(),
            command::tail(&log, 15)
        );
    }
    Ok(())
}

fn is_ready(layout: &Layout, ready: &Ready) -> bool {
    match ready {
        Ready::Listens(address) => TcpStream::connect(address).is_ok(),
        Ready::Succeeds(words) => {
            let ours = layout.bin(&words[0]);
            let program = if ours.exists() { ours } else { words[0].clone().into() };
            command::succeeds(Command::new(program).args(&words[1..]))
        }
    }
}

fn wait_for_node(layout: &Layout) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    let ready = || {
        let condition = ["wait", "--for=condition=Ready", "--timeout=5s", &format!("node/{NODE}")];
        command::succeeds(kubectl(layout).args(condition))
    };
    while !ready() {
        let log = layout.log("kubelet");
        anyhow::ensure!(
            Instant::now() < end,
            "the node is not ready after two minutes; the last lines of {}:\n{}",
            log.display(),
            command::tail(&log, 15)
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

//! What pods and the programs that serve them leave behind when they are stopped: shims, mounts, network
//! namespaces, firewall rules.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::Value;

use super::{NETWORK, RUN, process};
use crate::command;
use crate::layout::Layout;

/// Kills every container through containerd, then the shims that stay: one for each sandbox.
pub(crate) fn kill_pods(layout: &Layout) -> anyhow::Result<()> {
    let ctr = || {
        let mut ctr = Command::new(layout.bin("ctr"));
        ctr.args(["--address", &format!("{RUN}/containerd.sock"), "--namespace", "k8s.io", "tasks"]);
        ctr
    };
    // Without containerd there is nobody to ask: the shims are ended below, and their containers with them.
    let tasks = || command::output(ctr().args(["list", "--quiet"])).unwrap_or_default();
    for task in tasks().lines() {
        command::succeeds(ctr().args(["kill", "--signal", "KILL", task]));
    }
    for task in tasks().lines() {
        command::succeeds(ctr().args(["delete", "--force", task]));
    }
    let end = Instant::now() + Duration::from_secs(10);
    while let Some(pid) = shims()?.first() {
        anyhow::ensure!(Instant::now() < end, "process {pid}, a containerd-shim, does not end");
        process::send("KILL", *pid);
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Unmounts everything below the data folder and the run folder, the innermost first.
pub(crate) fn unmount(layout: &Layout) -> anyhow::Result<()> {
    let table = fs::read_to_string("/proc/mounts").context("cannot read the table of mounts")?;
    for place in mounts_below(&table, &[&layout.data, Path::new(RUN)]) {
        if !command::succeeds(Command::new("umount").arg(&place)) {
            command::output(Command::new("umount").arg("--lazy").arg(&place))?;
        }
    }
    Ok(())
}

/// Removes the pods' network namespaces, and with them their half of the cables to the bridge.
pub(crate) fn remove_network_namespaces(layout: &Layout) -> anyhow::Result<()> {
    const RECORDS: &str = "/var/lib/cni/results";
    let files = fs::read_dir(RECORDS).into_iter().flatten().flatten().map(|record| record.path());
    let read = |path: PathBuf| Some((serde_json::from_slice(&fs::read(&path).ok()?).ok()?, path));
    let records: Vec<(Value, PathBuf)> = files.filter_map(read).collect();
    for (record, path) in records.iter().filter(|(record, _)| is_of_our_pods(record, &records)) {
        if let Some(namespace) =
            record["netns"].as_str().map(Path::new).filter(|namespace| namespace.exists())
        {
            command::succeeds(Command::new("umount").arg(namespace));
            fs::remove_file(namespace).with_context(|| format!("cannot remove {}", namespace.display()))?;
        }
        fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    // No pod is left, so no address is taken.
    fs::remove_dir_all(layout.data.join("ipam")).ok();
    Ok(())
}

/// Whether a record of the CNI plugins belongs to a pod of our network: each pod has one for its loopback too.
fn is_of_our_pods(record: &Value, all: &[(Value, PathBuf)]) -> bool {
    all.iter()
        .any(|(other, _)| other["networkName"] == NETWORK && other["containerId"] == record["containerId"])
}

/// Takes the chains of kube-proxy and of the CNI plugins out of the firewall.
pub(crate) fn remove_firewall_rules() -> anyhow::Result<()> {
    for family in ["iptables", "ip6tables"] {
        let (save, restore) = (format!("{family}-save"), format!("{family}-restore"));
        // A machine without IPv6 has no rules for it to show.
        let Ok(rules) = command::output(&mut Command::new(save)) else { continue };
        let kept = without_our_chains(&rules);
        if kept != rules {
            command::output_with_input(&mut Command::new(restore), &kept)?;
        }
    }
    Ok(())
}

/// Pids of the shims of this node's containerd.
fn shims() -> anyhow::Result<Vec<u32>> {
    let socket = format!("{RUN}/containerd.sock");
    let ours = |folder: &Path| {
        let line = fs::read(folder.join("cmdline")).unwrap_or_default();
        is_shim_of(&line, &socket)
    };
    let processes = fs::read_dir("/proc").context("cannot list processes")?.flatten();
    Ok(processes
        .filter_map(|process| Some((process.file_name().to_str()?.parse().ok()?, process.path())))
        .filter(|(_, folder)| ours(folder))
        .map(|(pid, _)| pid)
        .collect())
}

fn is_shim_of(command_line: &[u8], socket: &str) -> bool {
    let words: Vec<&[u8]> = command_line.split(|byte| *byte == 0).collect();
    words[0].ends_with(b"containerd-shim-runc-v2")
        && words.windows(2).any(|pair| pair[0] == b"-address" && pair[1] == socket.as_bytes())
}

/// Mount points below these folders, so ordered that each comes before what it lies in.
fn mounts_below(table: &str, folders: &[&Path]) -> Vec<PathBuf> {
    let places = table.lines().filter_map(|line| line.split(' ').nth(1));
    // The kernel writes a blank in a path as \040.
    let places = places.map(|place| PathBuf::from(place.replace("\\040", " ")));
    let mut found: Vec<PathBuf> = places
        .filter(|place| folders.iter().any(|folder| place.starts_with(folder) && place != folder))
        .collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    found
}

fn without_our_chains(rules: &str) -> String {
    let kept = rules.lines().filter(|line| !line.contains("KUBE-") && !line.contains("CNI-"));
    kept.map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_shims_are_ended() {
        let line = |socket: &str| format!("/d/bin/containerd-shim-runc-v2\0-id\0x\0-address\0{socket}\0");
        assert!(is_shim_of(line("/run/slipway/containerd.sock").as_bytes(), "/run/slipway/containerd.sock"));
        assert!(!is_shim_of(
            line("/run/containerd/containerd.sock").as_bytes(),
            "/run/slipway/containerd.sock"
        ));
        assert!(!is_shim_of(b"", "/run/slipway/containerd.sock"));
    }

    #[test]
    fn inner_mounts_come_first_and_others_are_left() {
        let table = "a /d/x ext4 rw 0 0\nb /d/x/y ext4 rw 0 0\nc /data ext4 rw 0 0\nd /d/with\\040blank ext4 rw 0 0\n";
        let places = mounts_below(table, &[Path::new("/d")]);
        assert_eq!(places, [Path::new("/d/x/y"), Path::new("/d/x"), Path::new("/d/with blank")]);
    }

    #[test]
    fn a_pod_is_known_by_its_address_on_our_network() {
        let record = |network: &str, id: &str| {
            (serde_json::json!({"networkName": network, "containerId": id}), PathBuf::new())
        };
        let all = [
            record(NETWORK, "a"),
            record("cni-loopback", "a"),
            record("cni-loopback", "b"),
            record("cbr0", "b"),
        ];
        let ours: Vec<bool> = all.iter().map(|(value, _)| is_of_our_pods(value, &all)).collect();
        assert_eq!(ours, [true, true, false, false]);
    }

    #[test]
    fn rules_of_others_stay() {
        let rules = "*nat\n:DOCKER - [0:0]\n:KUBE-SVC - [0:0]\n-A PREROUTING -j KUBE-SERVICES\n-A DOCKER -j RETURN\nCOMMIT\n";
        assert_eq!(without_our_chains(rules), "*nat\n:DOCKER - [0:0]\n-A DOCKER -j RETURN\nCOMMIT\n");
    }
}

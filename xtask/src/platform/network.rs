//! The node's network: a bridge that carries the pods, the node's own address on it, and the range of Services.

use std::process::Command;

use super::{BRIDGE, IP, SERVICES};
use crate::command;

pub(crate) fn prepare() -> anyhow::Result<()> {
    // Where these are built into the kernel there is nothing to load, and maybe no modprobe.
    command::succeeds(Command::new("modprobe").args(["-a", "br_netfilter", "overlay"]));
    command::output(Command::new("sysctl").args([
        "-q",
        "-w",
        "net.ipv4.ip_forward=1",
        "net.bridge.bridge-nf-call-iptables=1",
    ]))?;
    if !command::succeeds(Command::new("ip").args(["link", "show", BRIDGE])) {
        ip(&["link", "add", BRIDGE, "type", "bridge"])?;
    }
    ip(&["address", "replace", &format!("{IP}/24"), "dev", BRIDGE])?;
    ip(&["link", "set", BRIDGE, "up"])?;
    // A packet to a Service must stay on this machine also before kube-proxy knows that Service.
    ip(&["route", "replace", SERVICES, "dev", BRIDGE])
}

/// Removes the bridge; its addresses and routes go with it. The pods' ends go first: the kernel takes up to a minute
/// to end a pod's network in which a connection lingers, and would show the other end as long.
pub(crate) fn remove() -> anyhow::Result<()> {
    if command::succeeds(Command::new("ip").args(["link", "show", BRIDGE])) {
        let ports = command::output(Command::new("ip").args(["-oneline", "link", "show", "master", BRIDGE]))?;
        for port in ports.lines().filter_map(port_name) {
            // It may vanish by itself meanwhile.
            command::succeeds(Command::new("ip").args(["link", "delete", port]));
        }
        ip(&["link", "delete", BRIDGE])?;
    }
    Ok(())
}

/// The device's name in a line such as `7: veth1a2b@if2: <BROADCAST> ...`.
fn port_name(line: &str) -> Option<&str> {
    line.split(": ").nth(1)?.split('@').next()
}

fn ip(args: &[&str]) -> anyhow::Result<()> {
    command::output(Command::new("ip").args(args)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_named_without_their_peer() {
        assert_eq!(port_name("7: veth1a2b@if2: <BROADCAST,UP> mtu 1500"), Some("veth1a2b"));
        assert_eq!(port_name(""), None);
    }
}

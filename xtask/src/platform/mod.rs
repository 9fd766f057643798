//! The one-node platform: which parts it has, how they are compiled, started, watched and stopped.

use crate::layout::Layout;

pub(crate) mod checks;
pub(crate) mod compile;
pub(crate) mod forge;
pub(crate) mod network;
pub(crate) mod node;
pub(crate) mod packages;
pub(crate) mod parts;
pub(crate) mod pause;
pub(crate) mod pki;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod remains;
pub(crate) mod services;

/// The node's own address on the bridge that carries the pods.
pub(crate) const IP: &str = "10.244.0.1";
pub(crate) const BRIDGE: &str = "slipway0";
pub(crate) const NODE: &str = "node1";
pub(crate) const PODS: &str = "10.244.0.0/24";
pub(crate) const PODS_ALL: &str = "10.244.0.0/16";
pub(crate) const SERVICES: &str = "10.96.0.0/16";
pub(crate) const DNS: &str = "10.96.0.10";
pub(crate) const REGISTRY: &str = "10.244.0.1:5000";
/// Sockets and other things that a reboot may forget.
pub(crate) const RUN: &str = "/run/slipway";
pub(crate) const PAUSE: &str = "slipway.local/pause:1";
/// The pods' network in the records of the CNI plugins; the same name as in deploy/local/node/cni.json.
pub(crate) const NETWORK: &str = "slipway-local";

/// Where a browser finds things. The router listens there on loopback, and nowhere else.
pub(crate) const WEB_URL: &str = "http://slipway.localhost:8080";
pub(crate) const FORGE_URL: &str = "http://forge.slipway.localhost:8080";
pub(crate) const DEMO_URL: &str = "http://main--demo.slipway.localhost:8080";

/// Values for the templates of deploy/local/node.
pub(crate) fn values(layout: &Layout) -> Vec<(&'static str, String)> {
    vec![
        ("BRIDGE", BRIDGE.to_owned()),
        ("DATA", layout.data.display().to_string()),
        ("DNS", DNS.to_owned()),
        ("FIRST_POD", "10.244.0.10".to_owned()),
        ("FORGE_URL", FORGE_URL.to_owned()),
        ("FORGE_USER", forge::UNIX_USER.to_owned()),
        ("IP", IP.to_owned()),
        ("NODE", NODE.to_owned()),
        ("PAUSE", PAUSE.to_owned()),
        ("PKI", layout.pki().display().to_string()),
        ("PODS", PODS.to_owned()),
        ("PODS_ALL", PODS_ALL.to_owned()),
        ("REGISTRY", REGISTRY.to_owned()),
        ("RUN", RUN.to_owned()),
        ("SERVICES", SERVICES.to_owned()),
    ]
}

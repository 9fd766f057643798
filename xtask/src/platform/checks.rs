//! What must be true before anything is changed: root, room on the disks, free ports, a recent Go.

use std::path::Path;
use std::process::Command;

use anyhow::Context;

use super::{BRIDGE, PODS_ALL, parts, process, services};
use crate::args::Forge;
use crate::command;
use crate::layout::Layout;

/// Go keeps 12 GiB of modules and compiled packages, Cargo 3 for Slipway; the running platform grows to 3.
const GIB_TO_COMPILE: u64 = 16;
/// When the forge alone is missing.
const GIB_FOR_FORGE: u64 = 6;
const GIB_TO_RUN: u64 = 3;
/// Where the router will be reached.
const ROUTER: (&str, u16) = ("127.0.0.1", 8080);

/// Says which one command to run when this is not root.
pub(crate) fn root() -> anyhow::Result<()> {
    if command::output(Command::new("id").arg("-u"))?.trim() == "0" {
        return Ok(());
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    let program = std::env::current_exe()?;
    anyhow::bail!(
        "the platform needs root for its packages, mounts and network; run this:\n  \
         sudo --preserve-env env \"PATH=$PATH\" {} {}",
        program.display(),
        words.join(" ")
    )
}

pub(crate) fn disk(layout: &Layout, forge: Option<Forge>) -> anyhow::Result<()> {
    let needed = if parts::all_compiled(layout, forge) {
        GIB_TO_RUN
    } else if parts::all_compiled(layout, None) {
        GIB_FOR_FORGE
    } else {
        GIB_TO_COMPILE
    };
    for (folder, option) in [(&layout.cache, "--cache"), (&layout.data, "--data")] {
        let free = free_gib(folder)?;
        anyhow::ensure!(
            free >= needed,
            "only {free} GiB are free for {}, {needed} are needed: make room or choose another folder with {option}",
            folder.display()
        );
    }
    Ok(())
}

/// Go must be as new as the parts' own go.mod files say.
pub(crate) fn go(layout: &Layout, forge: Option<Forge>) -> anyhow::Result<()> {
    if parts::all_compiled(layout, forge) {
        return Ok(());
    }
    let needed = parts::go_version(forge);
    let advice =
        format!("Go {needed} or newer is needed to compile the platform: install it and put it on the PATH");
    let out = command::output(Command::new("go").env("GOTOOLCHAIN", "local").arg("version"))
        .with_context(|| advice.clone())?;
    let found = out
        .split_whitespace()
        .nth(2)
        .and_then(|word| word.strip_prefix("go"))
        .unwrap_or("of no known version");
    anyhow::ensure!(parts::at_least(found, &needed), "{advice}; found {found}");
    Ok(())
}

/// Every port that a part not yet running needs must be free, and the range of the pods unused.
pub(crate) fn network(layout: &Layout, forge: Option<Forge>) -> anyhow::Result<()> {
    let listeners = listeners(&command::output(Command::new("ss").args(["-H", "-l", "-t", "-n", "-p"]))?);
    let mut needed = vec![("the router", ROUTER)];
    for service in services::wanted(layout, forge)? {
        if process::running(layout, service.name).is_none() {
            needed.extend(service.ports.iter().map(|port| (service.name, *port)));
        }
    }
    for (who, (address, port)) in needed {
        if let Some(taken) = listeners.iter().find(|listener| listener.takes(address, port)) {
            anyhow::bail!(
                "{address}:{port}, which {who} needs, is taken by {}: stop that first",
                taken.owner
            );
        }
    }
    let routes = command::output(Command::new("ip").args(["-4", "route", "show", "root", PODS_ALL]))?;
    match routes.lines().find(|route| !route.contains(&format!("dev {BRIDGE}"))) {
        Some(route) => {
            anyhow::bail!("the pods' range {PODS_ALL} is already in use on this machine: {}", route.trim())
        }
        None => Ok(()),
    }
}

/// Free space where a folder lies or will lie.
fn free_gib(folder: &Path) -> anyhow::Result<u64> {
    let there = folder.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
    let out = command::output(Command::new("df").args(["--block-size=1", "--output=avail"]).arg(there))?;
    let bytes: u64 = out.lines().nth(1).context("df printed no number")?.trim().parse()?;
    Ok(bytes >> 30)
}

/// A listening TCP socket and who holds it.
#[derive(Debug, PartialEq, Eq)]
struct Listener {
    address: String,
    port: u16,
    owner: String,
}

impl Listener {
    fn takes(&self, address: &str, port: u16) -> bool {
        self.port == port
            && (self.address == address || ["0.0.0.0", "*", "[::]"].contains(&self.address.as_str()))
    }
}

/// Reads `ss -Hltnp`: state, two queue lengths, local address, peer address, processes.
fn listeners(text: &str) -> Vec<Listener> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace().skip(3);
            let (address, port) = words.next()?.rsplit_once(':')?;
            let owner = words.nth(1).and_then(owner).unwrap_or_else(|| "another process".to_owned());
            // An address may carry its device: 127.0.0.53%lo
            let address = address.split('%').next()?.to_owned();
            Some(Listener { address, port: port.parse().ok()?, owner })
        })
        .collect()
}

/// `users:(("nginx",pid=71,fd=6))` as `nginx (pid 71)`.
fn owner(users: &str) -> Option<String> {
    let name = users.split('"').nth(1)?;
    let pid = users.split("pid=").nth(1)?.split(',').next()?;
    Some(format!("{name} (pid {pid})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SS: &str = "\
LISTEN 0      4096       127.0.0.1:8080       0.0.0.0:*    users:((\"nginx\",pid=71,fd=6))
LISTEN 0      128             [::]:22            [::]:*
LISTEN 0      4096      127.0.0.53%lo:53      0.0.0.0:*    users:((\"resolver\",pid=3,fd=1))";

    #[test]
    fn names_who_takes_a_port() {
        let all = listeners(SS);
        assert_eq!(all.len(), 3);
        assert!(all[0].takes("127.0.0.1", 8080));
        assert_eq!(all[0].owner, "nginx (pid 71)");
        assert_eq!((all[1].owner.as_str(), all[2].address.as_str()), ("another process", "127.0.0.53"));
    }

    #[test]
    fn a_port_on_another_address_is_free() {
        let all = listeners(SS);
        assert!(!all[0].takes("10.244.0.1", 8080));
        assert!(all[1].takes("10.244.0.1", 22), "a wildcard address covers every other");
    }
}

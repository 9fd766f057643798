//! The Debian packages that the platform stands on: which are missing, and their installation.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use crate::command;
use crate::progress::step;

/// A package, and the program that makes it unnecessary when it comes from elsewhere.
pub(crate) type Package = (&'static str, Option<&'static str>);

const PACKAGES: &[Package] = &[
    ("ca-certificates", None),
    ("conntrack", Some("conntrack")),
    ("containernetworking-plugins", None),
    ("curl", Some("curl")),
    ("debootstrap", Some("debootstrap")),
    ("gcc", Some("gcc")),
    ("git", Some("git")),
    ("iproute2", Some("ip")),
    ("ipset", Some("ipset")),
    ("iptables", Some("iptables")),
    ("libseccomp-dev", None),
    ("npm", Some("npm")),
    ("openssl", Some("openssl")),
    ("pkg-config", Some("pkg-config")),
    ("postgresql", None),
];

/// What the second git of the tests is compiled with.
pub(crate) const FOR_TESTS: &[Package] = &[
    // There are two of these packages, and either will do; each brings this program.
    ("libcurl4-openssl-dev", Some("curl-config")),
    ("make", Some("make")),
    ("xz-utils", Some("xz")),
    ("zlib1g-dev", None),
];

/// Installs what is missing of all that the platform needs, and of `more`. Needs root when anything is.
pub(crate) fn ensure(more: &[Package], log: &Path) -> anyhow::Result<()> {
    let missing = missing(&[PACKAGES, more].concat())?;
    if missing.is_empty() {
        return Ok(());
    }
    step(&format!("install Debian packages {}", missing.join(" ")), Some(log), || {
        // The package lists are fetched only when the ones at hand do not do.
        if install(&missing, log).is_ok() {
            return Ok(());
        }
        command::run(Command::new("apt-get").arg("update"), log)?;
        install(&missing, log)
    })
}

fn missing(packages: &[Package]) -> anyhow::Result<Vec<&'static str>> {
    let listing = Command::new("dpkg-query")
        .args(["--show", "--showformat", "${Package} ${db:Status-Status}\\n"])
        .args(packages.iter().map(|(package, _)| package))
        .output()
        .context("this needs a Debian machine: dpkg-query cannot be started")?;
    let installed = installed(&String::from_utf8_lossy(&listing.stdout));
    let there =
        |(package, program): &Package| installed.contains(*package) || program.is_some_and(command::exists);
    Ok(packages.iter().filter(|package| !there(package)).map(|(package, _)| *package).collect())
}

fn install(packages: &[&str], log: &Path) -> anyhow::Result<()> {
    let mut apt = Command::new("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive").args(["install", "--yes", "--no-install-recommends"]);
    command::run(apt.args(packages), log)
}

/// Package names that `dpkg-query` reports as installed. It leaves out, with an error, those it never heard of.
fn installed(listing: &str) -> BTreeSet<String> {
    listing
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(_, status)| *status == "installed")
        .map(|(package, _)| package.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_left_its_configuration_is_not_installed() {
        let listing = "curl installed\nipset config-files\nnpm not-installed\n";
        assert_eq!(installed(listing).into_iter().collect::<Vec<_>>(), ["curl"]);
    }
}

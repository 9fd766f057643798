//! Fields and paragraphs, `Name: value`, as dpkg, apk and Python write them; and the packages of the first two.

use crate::package::{Kind, Package, usable};

/// The fields of one paragraph. Lines that go on with a value before them are left out: no field that is asked for has
/// any.
#[derive(Debug)]
pub(crate) struct Fields<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Fields<'a> {
    /// Up to the first empty line.
    pub(crate) fn first(text: &'a str) -> Fields<'a> {
        let lines = text.lines().take_while(|line| !line.is_empty());
        let fields = lines.filter(|line| !line.starts_with([' ', '\t']));
        Fields(
            fields
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name, value.trim()))
                .collect(),
        )
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(it, _)| *it == name).map(|(_, value)| *value).filter(|value| !value.is_empty())
    }
}

fn paragraphs(text: &str) -> impl Iterator<Item = Fields<'_>> {
    text.split("\n\n").map(|paragraph| Fields::first(paragraph.trim_start_matches('\n')))
}

/// Of `/var/lib/dpkg/status`, and of the files of `status.d`, which say no status: what is there is installed.
pub(crate) fn dpkg(text: &str) -> Vec<Package> {
    paragraphs(text).filter_map(|fields| deb(&fields)).collect()
}

fn deb(fields: &Fields<'_>) -> Option<Package> {
    // `deinstall ok config-files` is a package that left its settings behind.
    let is_installed = |status: &str| status.ends_with(" installed");
    if !fields.get("Status").is_none_or(is_installed) {
        return None;
    }
    let package = Package::new(Kind::Deb, fields.get("Package")?, Some(fields.get("Version")?))?;
    let source = fields.get("Source").and_then(usable).map(|source| match source.split_once(" (") {
        Some((name, version)) => format!("{name}@{}", version.trim_end_matches(')')),
        None => source.to_owned(),
    });
    Some(Package { architecture: owned(fields.get("Architecture")), source, ..package })
}

/// Of `/lib/apk/db/installed`.
pub(crate) fn apk(text: &str) -> Vec<Package> {
    let package = |fields: Fields<'_>| {
        let package = Package::new(Kind::Apk, fields.get("P")?, Some(fields.get("V")?))?;
        Some(Package {
            architecture: owned(fields.get("A")),
            source: owned(fields.get("o").filter(|origin| *origin != package.name)),
            licence: owned(fields.get("L")),
            ..package
        })
    };
    paragraphs(text).filter_map(package).collect()
}

fn owned(field: Option<&str>) -> Option<String> {
    field.and_then(usable).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_packages_that_are_installed() {
        let status = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nMulti-Arch: same\nSource: glibc\n\
                      Version: 2.36-9+deb12u10\nConffiles:\n /etc/ld.so.conf.d/x 1\n /etc/y 2\nDescription: C: library\n Package: no\n\n\
                      Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\n\
                      Package: libgcc-s1\nStatus: hold ok installed\nSource: gcc-12 (12.2.0-14)\nVersion: 12.2.0-14\n\n\
                      Version: 1\n\nPackage: none\n\nPackage: distroless\nVersion: 3\n";
        let found = dpkg(status);
        let shown: Vec<_> = found
            .iter()
            .map(|it| (it.name.as_str(), it.version.as_deref().unwrap(), it.source.as_deref()))
            .collect();
        let expected = [
            ("libc6", "2.36-9+deb12u10", Some("glibc")),
            ("libgcc-s1", "12.2.0-14", Some("gcc-12@12.2.0-14")),
            ("distroless", "3", None),
        ];
        assert_eq!(shown, expected);
        assert_eq!(found[0].architecture.as_deref(), Some("amd64"));
    }

    #[test]
    fn alpine_packages() {
        let installed = "C:Q1abc=\nP:musl\nV:1.2.5-r10\nA:x86_64\nL:MIT\no:musl\nF:lib\nR:ld-musl-x86_64.so.1\n\n\
                         P:libcrypto3\nV:3.5.1-r0\nA:x86_64\nL:Apache-2.0\no:openssl\n\nP:broken\n";
        let found = apk(installed);
        let shown: Vec<_> =
            found.iter().map(|it| (it.name.as_str(), it.licence.as_deref(), it.source.as_deref())).collect();
        assert_eq!(shown, [("musl", Some("MIT"), None), ("libcrypto3", Some("Apache-2.0"), Some("openssl"))]);
    }
}

//! A package, and its name as a package URL.

/// A name, version or licence that is longer is no name, version or licence.
const TEXT_MAX: usize = 512;

/// Who has installed it, and so how it is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Deb,
    Apk,
    Npm,
    Python,
    Go,
    /// A program that is no package of anything.
    Program,
}

impl Kind {
    /// As package URLs name it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Kind::Deb => "deb",
            Kind::Apk => "apk",
            Kind::Npm => "npm",
            Kind::Python => "pypi",
            Kind::Go => "golang",
            Kind::Program => "generic",
        }
    }

    /// Whether the distribution made it.
    pub(crate) const fn is_of_distribution(self) -> bool {
        matches!(self, Kind::Deb | Kind::Apk)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    /// The program of a Go module that was built from a working copy has none.
    pub(crate) version: Option<String>,
    pub(crate) architecture: Option<String>,
    /// The source package that it was built from, `NAME` or `NAME@VERSION`, when that is another name.
    pub(crate) source: Option<String>,
    /// As the package says it.
    pub(crate) licence: Option<String>,
}

impl Package {
    /// `None`: nothing is called so.
    pub(crate) fn new(kind: Kind, name: &str, version: Option<&str>) -> Option<Package> {
        let name = usable(name)?.to_owned();
        let version = match version {
            Some(version) => Some(usable(version)?.to_owned()),
            None => None,
        };
        Some(Package { kind, name, version, architecture: None, source: None, licence: None })
    }
}

/// The trimmed text, unless it is empty, endless or made of something else than characters to read.
pub(crate) fn usable(text: &str) -> Option<&str> {
    let text = text.trim();
    let is_usable = !text.is_empty() && text.len() <= TEXT_MAX && !text.chars().any(char::is_control);
    is_usable.then_some(text)
}

/// The distribution's name and version, where they are part of its packages' names.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Distribution<'a> {
    pub(crate) id: Option<&'a str>,
    pub(crate) version: Option<&'a str>,
}

/// Its package URL, such as `pkg:npm/%40types/node@24.1.0`.
pub(crate) fn purl(package: &Package, of: Distribution<'_>) -> String {
    let name = match package.kind {
        Kind::Deb => format!("{}/{}", escaped(of.id.unwrap_or("debian")), escaped(&package.name)),
        Kind::Apk => format!("{}/{}", escaped(of.id.unwrap_or("alpine")), escaped(&package.name)),
        Kind::Npm => segments(&package.name.to_lowercase()),
        Kind::Python => escaped(&normalized(&package.name)),
        Kind::Go => segments(&package.name.to_lowercase()),
        Kind::Program => escaped(&package.name),
    };
    let mut purl = format!("pkg:{}/{name}", package.kind.as_str());
    if let Some(version) = &package.version {
        purl.push('@');
        purl.push_str(&escaped(version));
    }
    let distribution = match (package.kind.is_of_distribution(), of.id, of.version) {
        (true, Some(id), Some(version)) => Some(format!("{id}-{version}")),
        _ => None,
    };
    // In the order of their names, as package URLs want it.
    let qualifiers = [
        ("arch", package.architecture.as_deref()),
        ("distro", distribution.as_deref()),
        ("upstream", package.source.as_deref()),
    ];
    let given = qualifiers.into_iter().filter_map(|(name, value)| Some((name, value?)));
    for (number, (name, value)) in given.enumerate() {
        purl.push_str(if number == 0 { "?" } else { "&" });
        purl.push_str(&format!("{name}={}", escaped(value)));
    }
    purl
}

/// Each part of a path, so that the slashes between them stay.
pub(crate) fn segments(path: &str) -> String {
    path.split('/').map(escaped).collect::<Vec<_>>().join("/")
}

/// A colon stays as it is, a plus does not.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// Python's index takes `Zope.Interface`, `zope-interface` and `zope__interface` for one name.
fn normalized(name: &str) -> String {
    let parts = name.split(['-', '_', '.']).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_kinds() {
        let debian = Distribution { id: Some("debian"), version: Some("12") };
        for (kind, name, version, expected) in [
            (
                Kind::Deb,
                "libstdc++6",
                "1:12.2.0-14+deb12u1",
                "pkg:deb/debian/libstdc%2B%2B6@1:12.2.0-14%2Bdeb12u1?distro=debian-12",
            ),
            (Kind::Apk, "musl", "1.2.5-r10", "pkg:apk/debian/musl@1.2.5-r10?distro=debian-12"),
            (Kind::Npm, "@types/Node", "24.1.0", "pkg:npm/%40types/node@24.1.0"),
            (Kind::Python, "Zope.__Interface", "5.0", "pkg:pypi/zope-interface@5.0"),
            (
                Kind::Go,
                "github.com/BurntSushi/toml",
                "v1.5.0+incompatible",
                "pkg:golang/github.com/burntsushi/toml@v1.5.0%2Bincompatible",
            ),
        ] {
            assert_eq!(purl(&Package::new(kind, name, Some(version)).unwrap(), debian), expected);
        }
        let package = Package {
            architecture: Some("amd64".to_owned()),
            source: Some("glibc@2.36-9".to_owned()),
            ..Package::new(Kind::Deb, "libc6", None).unwrap()
        };
        assert_eq!(
            purl(&package, Distribution::default()),
            "pkg:deb/debian/libc6?arch=amd64&upstream=glibc%402.36-9"
        );
    }

    #[test]
    fn what_is_no_name() {
        for bad in ["", "  ", "a\nb", "a\u{0}", &"x".repeat(TEXT_MAX + 1)] {
            assert_eq!(Package::new(Kind::Npm, bad, None), None, "{bad:?}");
            assert_eq!(Package::new(Kind::Npm, "a", Some(bad)), None, "{bad:?}");
        }
    }
}

//! What a path in an image stands for: which files tell of packages, and which remove what lower layers have.

/// A file that tells of packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tells {
    Release,
    Dpkg,
    Apk,
    Npm,
    Python,
    /// Packages that are not read here.
    Rpm,
}

/// What an entry of a layer says about those below.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Whiteout {
    /// This path is gone.
    Of(String),
    /// All that is in this folder is gone.
    Opaque(String),
    /// Nothing is to be said about it.
    Mark,
}

/// Linux has no longer ones.
const PATH_MAX: usize = 4096;
const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

/// `usr/bin/env` for `./usr//bin/env`. `None`: it leads nowhere inside the image.
pub(crate) fn normalized(path: &[u8]) -> Option<String> {
    if path.len() > PATH_MAX {
        return None;
    }
    let path = String::from_utf8_lossy(path);
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let is_inside = !parts.is_empty() && !parts.contains(&"..");
    is_inside.then(|| parts.join("/"))
}

pub(crate) fn whiteout(path: &str) -> Option<Whiteout> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let hidden = name.strip_prefix(WHITEOUT)?;
    Some(if name == OPAQUE {
        Whiteout::Opaque(folder.to_owned())
    } else if hidden.is_empty() || hidden.starts_with(WHITEOUT) {
        Whiteout::Mark
    } else if folder.is_empty() {
        Whiteout::Of(hidden.to_owned())
    } else {
        Whiteout::Of(format!("{folder}/{hidden}"))
    })
}

pub(crate) fn tells(path: &str) -> Option<Tells> {
    let (folder, name) = path.rsplit_once('/')?;
    match (folder, name) {
        ("etc" | "usr/lib", "os-release") => return Some(Tells::Release),
        ("var/lib/dpkg", "status") => return Some(Tells::Dpkg),
        // Beside each of its files there is one with the hashes of what it has installed.
        ("var/lib/dpkg/status.d", name) => return (!name.ends_with(".md5sums")).then_some(Tells::Dpkg),
        ("lib/apk/db" | "usr/lib/apk/db", "installed") => return Some(Tells::Apk),
        ("var/lib/rpm" | "usr/lib/sysimage/rpm", "Packages" | "Packages.db" | "rpmdb.sqlite") => {
            return Some(Tells::Rpm);
        }
        _ => {}
    }
    let package = folder.rsplit('/').next().unwrap_or(folder);
    match name {
        "package.json" if is_module(folder) => Some(Tells::Npm),
        "METADATA" if package.ends_with(".dist-info") => Some(Tells::Python),
        "PKG-INFO" if package.ends_with(".egg-info") => Some(Tells::Python),
        name if name.ends_with(".egg-info") => Some(Tells::Python),
        _ => None,
    }
}

/// `node_modules/NAME` or `node_modules/@SCOPE/NAME`: manifests further down are parts of a package.
fn is_module(folder: &str) -> bool {
    let mut parts = folder.rsplit('/');
    let (Some(name), Some(parent)) = (parts.next(), parts.next()) else { return false };
    !name.starts_with('@')
        && (parent == "node_modules" || (parent.starts_with('@') && parts.next() == Some("node_modules")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        assert_eq!(normalized(b"./usr//lib/./x/").as_deref(), Some("usr/lib/x"));
        for outside in ["", "/", ".", "../x", "a/../../b", &"a/".repeat(PATH_MAX)] {
            assert_eq!(normalized(outside.as_bytes()), None, "{outside}");
        }
    }

    #[test]
    fn whiteouts() {
        for (path, expected) in [
            ("a/.wh.b", Some(Whiteout::Of("a/b".to_owned()))),
            (".wh.b", Some(Whiteout::Of("b".to_owned()))),
            ("a/b/.wh..wh..opq", Some(Whiteout::Opaque("a/b".to_owned()))),
            (".wh..wh..opq", Some(Whiteout::Opaque(String::new()))),
            (".wh..wh.plnk", Some(Whiteout::Mark)),
            ("a/.wh.", Some(Whiteout::Mark)),
            (".wh.a/b", None),
            ("a/b.wh.c", None),
        ] {
            assert_eq!(whiteout(path), expected, "{path}");
        }
    }

    #[test]
    fn files_that_tell_of_packages() {
        for (path, expected) in [
            ("etc/os-release", Some(Tells::Release)),
            ("var/lib/dpkg/status", Some(Tells::Dpkg)),
            ("var/lib/dpkg/status-old", None),
            ("var/lib/dpkg/status.d/base", Some(Tells::Dpkg)),
            ("var/lib/dpkg/status.d/base.md5sums", None),
            ("lib/apk/db/installed", Some(Tells::Apk)),
            ("usr/lib/sysimage/rpm/rpmdb.sqlite", Some(Tells::Rpm)),
            ("node_modules/ms/package.json", Some(Tells::Npm)),
            ("app/node_modules/@types/node/package.json", Some(Tells::Npm)),
            ("app/node_modules/a/node_modules/b/package.json", Some(Tells::Npm)),
            ("app/node_modules/a/test/package.json", None),
            ("app/node_modules/@types/package.json", None),
            ("app/node_modules/package.json", None),
            ("app/package.json", None),
            ("package.json", None),
            ("usr/lib/python3/dist-packages/flask-3.dist-info/METADATA", Some(Tells::Python)),
            ("usr/lib/python3/dist-packages/six.egg-info", Some(Tells::Python)),
            ("x/METADATA", None),
        ] {
            assert_eq!(tells(path), expected, "{path}");
        }
    }
}

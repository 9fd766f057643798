//! A package.json that npm, yarn or pnpm has put into a `node_modules`.

use serde::Deserialize;
use serde_json::Value;

use crate::package::{Kind, Package, usable};

/// What is of another type than it should be is as good as not there.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Manifest {
    name: Value,
    version: Value,
    license: Value,
    licenses: Value,
}

/// `None`: it has no name or version, and is no package of its own. An error: it is not JSON.
pub(crate) fn package(json: &[u8]) -> serde_json::Result<Option<Package>> {
    let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
    let manifest: Manifest = serde_json::from_slice(json)?;
    let (Some(name), Some(version)) = (manifest.name.as_str(), manifest.version.as_str()) else {
        return Ok(None);
    };
    let licence = licence(&manifest.license).or_else(|| licence(only(&manifest.licenses)));
    Ok(Package::new(Kind::Npm, name, Some(version)).map(|package| Package { licence, ..package }))
}

/// The one element of a list, or what is no list.
fn only(value: &Value) -> &Value {
    match value.as_array().map(Vec::as_slice) {
        Some([only]) => only,
        _ => value,
    }
}

/// `"MIT"`, or as it was long ago `{"type": "MIT"}`.
fn licence(value: &Value) -> Option<String> {
    let text = value.as_str().or_else(|| value.get("type")?.as_str())?;
    usable(text).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<(String, Option<String>)> {
        package(json.as_bytes())
            .unwrap()
            .map(|it| (format!("{} {}", it.name, it.version.unwrap()), it.licence))
    }

    #[test]
    fn manifests_old_and_new() {
        let of = |name: &str, licence: Option<&str>| Some((name.to_owned(), licence.map(str::to_owned)));
        for (json, expected) in [
            (
                r#"{"name": "ms", "version": "2.1.3", "license": "MIT", "main": "./index"}"#,
                of("ms 2.1.3", Some("MIT")),
            ),
            (
                "\u{feff}{\"name\": \"a\", \"version\": \"1\", \"license\": {\"type\": \"ISC\", \"url\": \"x\"}}",
                of("a 1", Some("ISC")),
            ),
            (r#"{"name": "b", "version": "1", "licenses": [{"type": "BSD"}]}"#, of("b 1", Some("BSD"))),
            (r#"{"name": "c", "version": "1", "licenses": ["MIT", "ISC"], "license": 7}"#, of("c 1", None)),
            (r#"{"type": "module"}"#, None),
            (r#"{"name": 1, "version": "1"}"#, None),
            (r#"{"name": "", "version": "1"}"#, None),
        ] {
            assert_eq!(read(json), expected, "{json}");
        }
    }

    #[test]
    fn what_is_not_json_says_so() {
        for bad in ["", "{", "[1", "\u{0}", &"[".repeat(100_000)] {
            assert!(package(bad.as_bytes()).is_err());
        }
    }
}

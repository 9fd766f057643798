//! The metadata of an installed Python package: `*.dist-info/METADATA`, or `PKG-INFO` of older ones.

use crate::control::Fields;
use crate::package::{Kind, Package, usable};

/// `None`: it says no name or version.
pub(crate) fn package(text: &str) -> Option<Package> {
    let fields = Fields::first(text);
    let package = Package::new(Kind::Python, fields.get("Name")?, Some(fields.get("Version")?))?;
    // The newer field holds an expression; the older one anything, sometimes that.
    let licence = fields.get("License-Expression").or_else(|| fields.get("License")).and_then(usable);
    Some(Package { licence: licence.map(str::to_owned), ..package })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_ends_at_the_description() {
        let metadata = "Metadata-Version: 2.4\r\nName: Flask\r\nVersion: 3.1.0\r\nLicense-Expression: BSD-3-Clause\r\n\
                        Classifier: Framework :: Flask\r\n\r\nName: no\r\n";
        let found = package(metadata).unwrap();
        assert_eq!((found.name.as_str(), found.version.as_deref()), ("Flask", Some("3.1.0")));
        assert_eq!(found.licence.as_deref(), Some("BSD-3-Clause"));
        assert_eq!(package("\nName: x\nVersion: 1\n"), None);
        assert_eq!(package("Name: x\n"), None);
    }
}

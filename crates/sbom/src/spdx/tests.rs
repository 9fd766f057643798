//! The document of a few files.

use serde_json::{Value, json};

use super::*;
use crate::layer::tests::{files, layered};

fn json_of(found: &Found) -> Value {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let subject =
        Subject { repository: "registry:5000/apps/demo", digest: &digest, created: "2026-01-31T12:00:00Z" };
    serde_json::to_value(document(found, &subject)).unwrap()
}

fn package<'a>(document: &'a Value, name: &str) -> &'a Value {
    let packages = document["packages"].as_array().unwrap();
    packages.iter().find(|it| it["name"] == name).unwrap_or_else(|| panic!("no {name} in {document:#}"))
}

fn demo() -> Found {
    layered(&[files(&[
        ("etc/os-release", "ID=debian\nVERSION_ID=12\nNAME=\"Debian GNU/Linux\"\n"),
        (
            "var/lib/dpkg/status",
            "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nSource: glibc\nVersion: 2.36-9\n",
        ),
        ("app/node_modules/ms/package.json", r#"{"name": "ms", "version": "2.1.3", "license": "MIT"}"#),
        (
            "app/node_modules/a/node_modules/ms/package.json",
            r#"{"name": "ms", "version": "2.1.3", "license": "MIT"}"#,
        ),
        (
            "app/node_modules/b/package.json",
            r#"{"name": "b", "version": "1", "license": "SEE LICENSE IN x"}"#,
        ),
        ("app/node_modules/c/package.json", "{"),
    ])])
}

#[test]
fn an_image_and_what_it_contains() {
    let document = json_of(&demo());
    assert_eq!(document["spdxVersion"], "SPDX-2.3");
    assert_eq!(document["creationInfo"]["created"], "2026-01-31T12:00:00Z");
    let namespace = document["documentNamespace"].as_str().unwrap();
    assert!(namespace.starts_with("urn:slipway:sbom:registry:5000/apps/demo@sha256:abab"), "{namespace}");
    let image = package(&document, "demo");
    assert_eq!(image["checksums"], json!([{"algorithm": "SHA256", "checksumValue": "ab".repeat(32)}]));
    let purl = image["externalRefs"][0]["referenceLocator"].as_str().unwrap();
    assert!(
        purl.starts_with("pkg:oci/demo@sha256%3Aabab")
            && purl.ends_with("?repository_url=registry:5000%2Fapps%2Fdemo"),
        "{purl}"
    );
    assert_eq!(package(&document, "debian")["versionInfo"], "12");

    let libc = package(&document, "libc6");
    assert_eq!(
        *libc,
        json!({
            "name": "libc6", "SPDXID": "SPDXRef-deb-libc6-2.36-9", "versionInfo": "2.36-9",
            "supplier": "Organization: Debian GNU/Linux", "downloadLocation": "NOASSERTION", "filesAnalyzed": false,
            "licenseConcluded": "NOASSERTION", "licenseDeclared": "NOASSERTION", "copyrightText": "NOASSERTION",
            "sourceInfo": "told by /var/lib/dpkg/status",
            "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                "referenceLocator": "pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=debian-12&upstream=glibc"}],
        })
    );
    let ms = package(&document, "ms");
    assert_eq!(ms["licenseDeclared"], "MIT");
    assert_eq!(ms["sourceInfo"], "told by /app/node_modules/a/node_modules/ms/package.json and 1 others");
    let b = package(&document, "b");
    assert_eq!(
        (&b["licenseDeclared"], &b["licenseComments"]),
        (&json!("NOASSERTION"), &json!("The package says: SEE LICENSE IN x"))
    );
    let comment = document["comment"].as_str().unwrap();
    assert!(
        comment.contains(
            "NOT COMPLETE: 1 files could not be read whole: /app/node_modules/c/package.json (it is not JSON"
        ),
        "{comment}"
    );

    let relationships = document["relationships"].as_array().unwrap();
    let relation = |from: &str, kind: &str, to: &str| json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to});
    assert_eq!(relationships[0], relation("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-image"));
    assert!(relationships.contains(&relation("SPDXRef-image", "CONTAINS", "SPDXRef-deb-libc6-2.36-9")));
    assert_eq!(relationships.len(), document["packages"].as_array().unwrap().len());
}

#[test]
fn the_same_findings_make_the_same_bytes() {
    let text = |found: &Found| serde_json::to_string(&json_of(found)).unwrap();
    assert_eq!(text(&demo()), text(&demo()));
}

#[test]
fn names_that_collide_stay_apart() {
    let found = layered(&[files(&[
        ("node_modules/a_b/package.json", r#"{"name": "a_b", "version": "1"}"#),
        ("node_modules/a-b/package.json", r#"{"name": "a-b", "version": "1"}"#),
    ])]);
    let document = json_of(&found);
    let ids: Vec<_> =
        document["packages"].as_array().unwrap().iter().map(|it| it["SPDXID"].as_str().unwrap()).collect();
    assert_eq!(ids, ["SPDXRef-image", "SPDXRef-npm-a-b-1", "SPDXRef-npm-a-b-1-2"]);
}

#[test]
fn nothing_is_a_document_too() {
    let document = json_of(&Found::default());
    assert_eq!(document["packages"].as_array().unwrap().len(), 1);
    assert_eq!(document["documentDescribes"], json!(["SPDXRef-image"]));
}

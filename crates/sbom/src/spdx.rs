//! The document: SPDX 2.3, of the image by its digest and of all packages that were found in it. The same findings make the
//! same bytes.

mod licence;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::Found;
use crate::os::Release;
use crate::package::{Package, escaped, purl, segments};

const NO_ASSERTION: &str = "NOASSERTION";
const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-image";
/// So many files that do not tell all are named.
const FAULTS_MAX: usize = 20;

/// Which image it is about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// `HOST/NAME`
    pub repository: &'a str,
    pub digest: &'a str,
    /// When the document is said to be made, in UTC to the second: `2026-01-31T12:00:00Z`.
    pub created: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    spdx_version: &'static str,
    data_license: &'static str,
    #[serde(rename = "SPDXID")]
    id: &'static str,
    name: String,
    document_namespace: String,
    creation_info: CreationInfo,
    comment: String,
    document_describes: [&'static str; 1],
    packages: Vec<Described>,
    relationships: Vec<Relationship>,
}

#[derive(Debug, Serialize)]
struct CreationInfo {
    created: String,
    creators: [&'static str; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    name: String,
    #[serde(rename = "SPDXID")]
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_info: Option<String>,
    supplier: String,
    download_location: &'static str,
    files_analyzed: bool,
    license_concluded: &'static str,
    license_declared: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    license_comments: Option<String>,
    copyright_text: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_info: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    primary_package_purpose: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checksums: Vec<Checksum>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_refs: Vec<ExternalRef>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Checksum {
    algorithm: &'static str,
    checksum_value: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ExternalRef {
    reference_category: &'static str,
    reference_type: &'static str,
    reference_locator: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Relationship {
    spdx_element_id: &'static str,
    relationship_type: &'static str,
    related_spdx_element: String,
}

/// A package, and the files that tell of it.
struct Seen<'a> {
    package: &'a Package,
    first: &'a str,
    others: usize,
}

pub fn document(found: &Found, subject: &Subject<'_>) -> Document {
    // The one in /etc comes first, and is the one that counts.
    let release = found.files().find_map(|(_, content)| content.release.as_ref());
    let distribution = release.map(Release::distribution).unwrap_or_default();
    let mut seen: BTreeMap<String, Seen<'_>> = BTreeMap::new();
    for (path, content) in found.files() {
        for package in &content.packages {
            let anew = Seen { package, first: path, others: 0 };
            seen.entry(purl(package, distribution)).and_modify(|it| it.others += 1).or_insert(anew);
        }
    }
    let mut packages = vec![image(subject)];
    packages.extend(release.and_then(distribution_package));
    let supplier = release.and_then(|it| it.name.as_ref()).map(|name| format!("Organization: {name}"));
    let supplier = supplier.unwrap_or_else(|| NO_ASSERTION.to_owned());
    let mut ids = BTreeSet::new();
    for (purl, seen) in seen {
        let id = id(&seen, &mut ids);
        packages.push(described(id, purl, &seen, &supplier));
    }
    let contained = packages.iter().skip(1).map(|it| relation(IMAGE, "CONTAINS", it.id.clone()));
    let relationships =
        std::iter::once(relation(DOCUMENT, "DESCRIBES", IMAGE.to_owned())).chain(contained).collect();
    Document {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        id: DOCUMENT,
        name: format!("{}@{}", subject.repository, subject.digest),
        document_namespace: format!("urn:slipway:sbom:{}@{}", segments(subject.repository), subject.digest),
        creation_info: CreationInfo { created: subject.created.to_owned(), creators: ["Tool: slipway"] },
        comment: comment(found),
        document_describes: [IMAGE],
        packages,
        relationships,
    }
}

fn relation(from: &'static str, kind: &'static str, to: String) -> Relationship {
    Relationship { spdx_element_id: from, relationship_type: kind, related_spdx_element: to }
}

/// What is in the list and what is not.
fn comment(found: &Found) -> String {
    let mut comment = "Listed is what says of itself in the image's files that it is installed: packages of dpkg, apk, npm and \
                       Python, the modules of Go programs, and node. Other programs are not listed."
        .to_owned();
    if found.left_out() > 0 {
        comment.push_str(&format!(
            " NOT COMPLETE: {} packages were too many and are left out.",
            found.left_out()
        ));
    }
    let faults: Vec<_> =
        found.files().filter_map(|(path, content)| Some((path, content.fault.as_ref()?))).collect();
    if !faults.is_empty() {
        comment.push_str(&format!(" NOT COMPLETE: {} files could not be read whole:", faults.len()));
        for (path, fault) in faults.iter().take(FAULTS_MAX) {
            comment.push_str(&format!(" /{path} ({fault});"));
        }
        comment.pop();
        comment.push_str(if faults.len() > FAULTS_MAX { " and others." } else { "." });
    }
    comment
}

fn image(subject: &Subject<'_>) -> Described {
    let name = subject.repository.rsplit('/').next().unwrap_or(subject.repository);
    let hash = subject.digest.strip_prefix("sha256:");
    let purl = format!(
        "pkg:oci/{}@{}?repository_url={}",
        escaped(&name.to_lowercase()),
        // Here the colon is not the one between a version's epoch and its rest.
        subject.digest.replace(':', "%3A"),
        escaped(subject.repository)
    );
    Described {
        version_info: Some(subject.digest.to_owned()),
        primary_package_purpose: Some("CONTAINER"),
        checksums: hash
            .map(|hash| Checksum { algorithm: "SHA256", checksum_value: hash.to_owned() })
            .into_iter()
            .collect(),
        external_refs: vec![reference(purl)],
        ..nothing_known(name.to_owned(), IMAGE.to_owned())
    }
}

fn distribution_package(release: &Release) -> Option<Described> {
    let id = release.id.clone()?;
    Some(Described {
        version_info: release.version.clone(),
        primary_package_purpose: Some("OPERATING-SYSTEM"),
        ..nothing_known(id, "SPDXRef-distribution".to_owned())
    })
}

fn described(id: String, purl: String, seen: &Seen<'_>, supplier: &str) -> Described {
    let package = seen.package;
    let (declared, said) = match package.licence.as_deref() {
        Some(licence) if licence::is_expression(licence) => (licence, None),
        Some(licence) => (NO_ASSERTION, Some(format!("The package says: {licence}"))),
        None => (NO_ASSERTION, None),
    };
    let others = if seen.others > 0 { format!(" and {} others", seen.others) } else { String::new() };
    let supplier = if package.kind.is_of_distribution() { supplier } else { NO_ASSERTION };
    Described {
        version_info: package.version.clone(),
        supplier: supplier.to_owned(),
        license_declared: declared.to_owned(),
        license_comments: said,
        source_info: Some(format!("told by /{}{others}", seen.first)),
        external_refs: vec![reference(purl)],
        ..nothing_known(package.name.clone(), id)
    }
}

fn nothing_known(name: String, id: String) -> Described {
    Described {
        name,
        id,
        version_info: None,
        supplier: NO_ASSERTION.to_owned(),
        download_location: NO_ASSERTION,
        files_analyzed: false,
        license_concluded: NO_ASSERTION,
        license_declared: NO_ASSERTION.to_owned(),
        license_comments: None,
        copyright_text: NO_ASSERTION,
        source_info: None,
        primary_package_purpose: None,
        checksums: Vec::new(),
        external_refs: Vec::new(),
    }
}

fn reference(purl: String) -> ExternalRef {
    ExternalRef { reference_category: "PACKAGE-MANAGER", reference_type: "purl", reference_locator: purl }
}

/// Of letters, digits, dots and hyphens, and of no other package of the document.
fn id(seen: &Seen<'_>, ids: &mut BTreeSet<String>) -> String {
    let package = seen.package;
    let version = package.version.as_deref().unwrap_or("unknown");
    let wanted: String = format!("SPDXRef-{}-{}-{version}", package.kind.as_str(), package.name)
        .chars()
        .map(|it| if it.is_ascii_alphanumeric() || it == '.' { it } else { '-' })
        .collect();
    let others = (2..).map(|number| format!("{wanted}-{number}"));
    let mut candidates = std::iter::once(wanted.clone()).chain(others);
    let free = candidates.find(|id| ids.insert(id.clone()));
    free.unwrap_or(wanted)
}

#[cfg(test)]
mod tests;

//! Renders an overlay with other images and patches, through a generated kustomization that takes it as its base.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use serde_json::{Value, json};

use super::{Rendering, Substitute};
use crate::command;

/// The overlay's manifests with each image replaced and each patch merged in.
pub(super) fn render(kubectl: &dyn Fn() -> Command, rendering: &Rendering) -> anyhow::Result<String> {
    let Rendering { overlay, images, patches, folder } = rendering;
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    // kustomize takes no absolute paths, and resolves links before it goes up.
    let base = relative(&fs::canonicalize(folder)?, &fs::canonicalize(overlay)?);
    let kustomization = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [base],
        "images": images.iter().map(entry).collect::<Vec<_>>(),
        "patches": patches.iter().map(|patch| json!({"patch": patch.to_string()})).collect::<Vec<_>>(),
    });
    fs::write(folder.join("kustomization.yaml"), kustomization.to_string())?;
    let manifests = command::output(kubectl().arg("kustomize").arg(folder))?;
    for image in images {
        anyhow::ensure!(
            manifests.contains(&image.reference),
            "{} uses no image {}, so {} cannot take its place",
            overlay.display(),
            image.name,
            image.reference
        );
    }
    Ok(manifests)
}

/// kustomize wants name, tag and digest apart.
fn entry(image: &Substitute) -> Value {
    if let Some((name, digest)) = image.reference.split_once('@') {
        return json!({"name": image.name, "newName": name, "digest": digest});
    }
    // A colon before the last slash belongs to a port.
    match image.reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => {
            json!({"name": image.name, "newName": name, "newTag": tag})
        }
        _ => json!({"name": image.name, "newName": image.reference, "newTag": "latest"}),
    }
}

/// The way from one absolute folder to another.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let (from, to): (Vec<Component<'_>>, Vec<Component<'_>>) =
        (from.components().collect(), to.components().collect());
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = from[shared..].iter().map(|_| Component::ParentDir);
    up.chain(to[shared..].iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(reference: &str, expected: &Value) {
        let mut entry = entry(&Substitute { name: "x".to_owned(), reference: reference.to_owned() });
        entry.as_object_mut().unwrap().remove("name");
        assert_eq!(&entry, expected);
    }

    #[test]
    fn references_come_apart() {
        check("r:5000/a/b@sha256:1", &json!({"newName": "r:5000/a/b", "digest": "sha256:1"}));
        check("r:5000/a/b:v1", &json!({"newName": "r:5000/a/b", "newTag": "v1"}));
        check("r:5000/a/b", &json!({"newName": "r:5000/a/b", "newTag": "latest"}));
    }

    #[test]
    fn the_way_leads_over_the_shared_folder() {
        assert_eq!(relative(Path::new("/var/lib/x"), Path::new("/var/work/y")), Path::new("../../work/y"));
        assert_eq!(relative(Path::new("/a"), Path::new("/a/b")), Path::new("b"));
    }
}

//! What was built before is not built again: an image of the same input, and the parts of a large context that did not change.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use harness::platform::Platform;
use harness::remote::Remote;
use harness::{app, platform, remote};
use reqwest::Method;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

async fn built(
    platform: &Platform,
    remote: &Remote,
    message: &str,
    options: &[&str],
) -> Result<(Value, String)> {
    let commit = remote::commit(&remote.tree, message).await?;
    let pushed = remote::push(remote, options, &["main"]).await?;
    assert_eq!(pushed.code, Some(0), "{}", pushed.text);
    let build = app::settled(platform, &remote.app, &commit).await?;
    let path = format!("/apps/{}/builds/{}/log.txt", remote.app.name, build["number"]);
    let log = platform.api(Method::GET, &path).send().await?.error_for_status()?.text().await?;
    Ok((build, log))
}

#[tokio::test]
async fn the_same_input_is_the_same_image() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let remote = remote::create(&platform, "reuse", "static").await?;
    let (first, log) = built(&platform, &remote, "First", &[]).await?;
    assert!(!log.contains("used again"), "{log}");

    let (second, log) = built(&platform, &remote, "Nothing differs", &[]).await?;
    assert!(log.contains("nothing differs from build #1: its image is used again"), "{log}");
    assert_eq!(second["digest"], first["digest"]);
    assert_eq!(second["reuses"], first["number"], "{second}");
    assert_eq!(second["release"]["version"], 2);

    let (third, log) = built(&platform, &remote, "All of it anew", &["-o", "no-cache"]).await?;
    assert!(!log.contains("used again"), "{log}");
    assert_eq!(third["reuses"], Value::Null);

    app::edit(&remote.app, "public/index.html", "<title>", "<title>changed ")?;
    let (changed, log) = built(&platform, &remote, "Something differs", &[]).await?;
    assert!(!log.contains("used again"), "{log}");
    assert_ne!(changed["digest"], first["digest"]);
    app::serves(&platform, &remote.app, "<title>changed").await?;

    app::edit(&remote.app, "public/index.html", "<title>changed ", "<title>")?;
    let (back, log) = built(&platform, &remote, "As it was", &[]).await?;
    assert!(log.contains("its image is used again"), "{log}");
    assert!([&first["digest"], &third["digest"]].contains(&&back["digest"]), "{back}");
    remote::put_away(&platform, &remote).await
}

/// All files of `lib`, one after the other in the order of their paths.
fn sum(tree: &Path) -> Result<String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![tree.join("lib")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(tree)?.to_string_lossy().into_owned(), std::fs::read(&path)?);
            }
        }
    }
    let mut hash = Sha256::new();
    for (path, content) in files {
        hash.update(path + "\n");
        hash.update(content);
    }
    Ok(hex::encode(hash.finalize()))
}

/// Which steps copy a part of the context, and whether each was cached.
fn copies(build: &Value) -> Result<Vec<(String, bool)>> {
    let steps = build["steps"].as_array().context("steps")?;
    let name = |step: &Value| step["name"].as_str().unwrap_or_default().to_owned();
    let copies = steps.iter().filter(|step| name(step).contains("COPY . . ("));
    Ok(copies.map(|step| (name(step), step["cached"] == true)).collect())
}

#[tokio::test]
async fn a_large_context_is_built_in_parts() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let remote = remote::create(&platform, "parts", "static").await?;
    let lib = remote.tree.path.join("lib");
    for number in 0..2_000 {
        let folder = lib.join(format!("d{}", number % 20));
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(format!("f{number}")), format!("{number} of {}\n", remote.app.name))?;
    }
    let dockerfile = "FROM node:22-bookworm-slim\nWORKDIR /app\nCOPY . .\n\
        RUN find lib -type f | LC_ALL=C sort | while read -r it; do echo \"$it\"; cat \"$it\"; done | sha256sum > public/index.html\n\
        CMD [\"node\", \"server.js\"]\n";
    std::fs::write(remote.tree.path.join("Dockerfile"), dockerfile)?;
    let (build, _) = built(&platform, &remote, "Many files", &[]).await?;
    app::serves(&platform, &remote.app, &sum(&remote.tree.path)?).await?;
    let parts = copies(&build)?;
    assert!((8..=12).contains(&parts.len()), "{parts:?}");

    // A changed file, a file that goes, one that comes, a link, and one that can be run.
    std::fs::write(lib.join("d7/f7"), "changed\n")?;
    std::fs::remove_file(lib.join("d7/f27"))?;
    std::fs::write(lib.join("d7/new"), "new\n")?;
    built(&platform, &remote, "One folder", &[]).await?;
    app::serves(&platform, &remote.app, &sum(&remote.tree.path)?).await?;
    std::fs::write(lib.join("d7/f7"), "changed again\n")?;
    let (build, _) = built(&platform, &remote, "The same folder", &[]).await?;
    app::serves(&platform, &remote.app, &sum(&remote.tree.path)?).await?;
    let anew: Vec<_> = copies(&build)?.into_iter().filter(|(_, cached)| !cached).collect();
    assert_eq!(anew.len(), 1, "one part is copied again: {anew:?}");
    remote::put_away(&platform, &remote).await
}

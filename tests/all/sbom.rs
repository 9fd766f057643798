//! What is in an image can be read where the build is: what its base has, what its own steps installed, and not what they
//! removed again.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use harness::app::{self, TestApp};
use harness::platform::{self, Platform};
use harness::wait;
use reqwest::Method;
use serde_json::Value;

/// Two packages are installed as npm would do it, and one of them is removed by a later layer. What `dpkg` says itself is
/// printed into the log, where it would not be if the step were known from another application.
const DOCKERFILE: &str = r#"FROM node:22-bookworm-slim
WORKDIR /site
RUN mkdir -p node_modules/kept node_modules/gone \
 && echo '{"name": "kept", "version": "1.2.3", "license": "MIT"}' > node_modules/kept/package.json \
 && echo '{"name": "gone", "version": "4.5.6"}' > node_modules/gone/package.json
RUN rm -r node_modules/gone
RUN : of APP && dpkg-query -W -f 'dpkg says ${Package} ${Version} ${db:Status-Status}\n'
COPY server.js package.json ./
COPY public public
CMD ["node", "server.js"]
"#;

/// The newest image comes first, and each waits for builds to pause: those of other tests come before it.
const PATIENCE: Duration = Duration::from_secs(600);

/// As the command prints it, once it is made.
async fn document(platform: &Platform, app: &TestApp, number: &str) -> Result<Value> {
    wait::until("the SBOM", PATIENCE, || async {
        let (is_made, said) = platform.slipway(&["builds", "show", &app.name, number, "--sbom"]).await?;
        Ok(if is_made { Ok(serde_json::from_str(&said)?) } else { Err(said) })
    })
    .await
}

/// The packages whose URL begins like this, as `NAME VERSION`, in the order of the alphabet.
fn packages(document: &Value, begin: &str) -> Vec<String> {
    let all = document["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of_kind = all.iter().filter(|it| {
        let url = it.pointer("/externalRefs/0/referenceLocator").and_then(Value::as_str);
        url.is_some_and(|url| url.starts_with(begin))
    });
    let mut names: Vec<_> =
        of_kind.map(|it| format!("{} {}", it["name"], it["versionInfo"]).replace('"', "")).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_build_says_what_is_in_its_image() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let app = app::create(&platform, "listed", "static").await?;
    std::fs::write(app.tree.path().join("Dockerfile"), DOCKERFILE.replace("APP", &app.name))?;
    let commit = app::deliver(&platform, &app, "First").await?;
    let build = app::settled(&platform, &app, &commit).await?;
    assert_eq!(build["release"]["state"], "live", "{build:#}");
    let number = build["number"].to_string();
    let document = document(&platform, &app, &number).await?;
    assert_eq!(document["spdxVersion"], "SPDX-2.3");

    // The very image that runs.
    let digest = build["digest"].as_str().and_then(|it| it.strip_prefix("sha256:")).context("no digest")?;
    assert_eq!(document["documentDescribes"][0], document["packages"][0]["SPDXID"]);
    assert_eq!(document["packages"][0]["checksums"][0]["checksumValue"], digest);

    let modules = packages(&document, "pkg:npm/");
    ensure!(modules.contains(&"kept 1.2.3".to_owned()), "{modules:?}");
    ensure!(!modules.iter().any(|it| it.starts_with("gone ")), "{modules:?}");
    ensure!(modules.iter().any(|it| it.starts_with("npm ")), "the base's own: {modules:?}");

    let programs = packages(&document, "pkg:generic/node@22.");
    assert_eq!(programs.len(), 1, "{programs:?}");

    // Exactly what the distribution's own tool says is installed.
    let path = format!("/apps/{}/builds/{number}/log.txt", app.name);
    let log = platform.api(Method::GET, &path).send().await?.text().await?;
    let mut said: Vec<String> = log
        .lines()
        .filter_map(|line| line.split_once("dpkg says ")?.1.strip_suffix(" installed"))
        .map(str::to_owned)
        .collect();
    said.sort();
    ensure!(said.iter().any(|it| it.starts_with("libc6 ")), "dpkg said nothing: {log}");
    assert_eq!(packages(&document, "pkg:deb/debian/"), said);

    let image = build["release"]["image"].as_str().context("no image")?;
    assert_eq!(attached(&platform, image).await?, document);
    Ok(())
}

/// The document that hangs beside `image` (`HOST/NAME@DIGEST`) in the registry, which is found as other tools find it.
async fn attached(platform: &Platform, image: &str) -> Result<Value> {
    let (host, name) = image.split_once('/').context("an image without a host")?;
    let (name, digest) = name.split_once('@').context("an image without a digest")?;
    let get = async |path: String, accept: &str| -> Result<Value> {
        let url = format!("http://{host}/v2/{name}/{path}");
        platform::json(platform.http.get(url).header("accept", accept).send().await?).await
    };
    let text = |value: &Value| value.as_str().map(str::to_owned).context("no text");
    let list =
        get(format!("manifests/{}", digest.replace(':', "-")), "application/vnd.oci.image.index.v1+json")
            .await?;
    let entries = list["manifests"].as_array().map(Vec::as_slice).unwrap_or_default();
    let [entry] = entries else { bail!("not one document: {list:#}") };
    assert_eq!(entry["artifactType"], "application/spdx+json");
    let manifest = format!("manifests/{}", text(&entry["digest"])?);
    let manifest = get(manifest, "application/vnd.oci.image.manifest.v1+json").await?;
    assert_eq!(manifest["subject"]["digest"], digest);
    get(format!("blobs/{}", text(&manifest["layers"][0]["digest"])?), "*/*").await
}

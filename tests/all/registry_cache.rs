//! The cache of the default branch in the registry: a BuildKit that has lost what it had of an application imports it, and
//! one that finds it gone builds without.
//!
//! Every instruction of the Dockerfile names the application, so that only its records are dropped from BuildKit.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use builder::garbage::sweep_images;
use domain::garbage::Policy;
use harness::platform::Platform;
use harness::remote::Remote;
use harness::{app, database, platform, remote, wait};
use registry::{Credentials, Registry};
use reqwest::Method;
use sqlx::PgPool;
use store::app::NewApp;
use store::cache::Exported;
use url::Url;

/// An export waits for some seconds, for builds for a minute, and for those of other tests.
const PATIENCE: Duration = Duration::from_secs(540);
const POLICY: Policy = Policy { releases: 1, image_days: 1, mirror_days: 1 };

/// The page says what a step took from chance, and then what a file says.
fn dockerfile(name: &str) -> String {
    format!(
        "FROM node:22-bookworm-slim\n\
         WORKDIR /{name}\n\
         RUN head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \\n' > /{name}/random\n\
         COPY . /{name}/\n\
         RUN mkdir -p public && cat random version > /{name}/public/index.html\n\
         CMD [\"node\", \"server.js\"]\n"
    )
}

/// Builds a version, and answers its log and what was chance in the page.
async fn version(platform: &Platform, remote: &Remote, version: &str) -> Result<(String, String)> {
    std::fs::write(remote.tree.path.join("version"), format!(" {version} of {}\n", remote.app.name))?;
    let commit = remote::commit(&remote.tree, version).await?;
    let pushed = remote::push(remote, &[], &["main"]).await?;
    ensure!(pushed.code == Some(0), "{}", pushed.text);
    let build = app::settled(platform, &remote.app, &commit).await?;
    app::serves(platform, &remote.app, &format!(" {version} of")).await?;
    let (_, page) = app::served(platform, &remote.app, "main").await?;
    let random = page.split_whitespace().next().context("an empty page")?.to_owned();
    ensure!(random.len() == 32, "{page:?}");
    let path = format!("/apps/{}/builds/{}/log.txt", remote.app.name, build["number"]);
    let log = platform.api(Method::GET, &path).send().await?.error_for_status()?.text().await?;
    Ok((log, random))
}

/// Drops what BuildKit keeps of the application: its steps, and the layers that were imported in place of some. With its
/// disk it would lose its id as well; here the builder forgets it.
async fn make_cold(platform: &Platform, db: &PgPool, name: &str, layers: &[String]) -> Result<()> {
    sqlx::query("delete from worker_build using app where app.id = app_id and name = $1")
        .bind(name)
        .execute(db)
        .await?;
    let layers = layers.iter().map(|digest| format!("imported {digest}"));
    let filters = std::iter::once(name.to_owned()).chain(layers).map(|it| format!("description~={it:?}"));
    let filters: Vec<String> = filters.collect();
    let filters: Vec<&str> = filters.iter().flat_map(|filter| ["--filter", filter]).collect();
    let buildctl = ["-n", "slipway-build", "exec", "buildkitd-0", "--", "buildctl"];
    wait::until("BuildKit to let go of it", app::PATIENCE, || async {
        platform.kubectl(&[&buildctl[..], &["prune"], &filters].concat()).await?;
        let left = platform.kubectl(&[&buildctl[..], &["du", "--verbose"], &filters].concat()).await?;
        Ok(if left.contains("Description:") { Err(left) } else { Ok(()) })
    })
    .await
}

/// The application's cache as the builder wrote it down: repository, digest, and those of its layers.
async fn exported(db: &PgPool, app: &str) -> Result<(String, String, Vec<String>)> {
    wait::until(&format!("the export of the cache of {app}"), PATIENCE, || async {
        let row: Option<(String, String, Vec<String>)> = sqlx::query_as(
            "select repository, digest, array(select it ->> 'digest' from jsonb_array_elements(layers) it)
             from registry_cache cache join app on app.id = cache.app_id where app.name = $1",
        )
        .bind(app)
        .fetch_optional(db)
        .await?;
        Ok(row.ok_or("none"))
    })
    .await
}

/// Removes the cache as that of an application that is gone, by rows of a database of its own.
async fn sweep(own: &PgPool, registry: &Registry, repository: &str, digest: &str) -> Result<()> {
    let mut conn = own.acquire().await?;
    let app = store::app::create(&mut conn, &NewApp::pushed("gone", "main")).await?.context("the name")?;
    let (input, layers) = (b"input", &[]);
    let exported = Exported { app_id: app.id, repository, digest, input, layers };
    store::cache::record(&mut conn, &exported).await?;
    let swept = sweep_images(own, registry, &POLICY, None).await?;
    ensure!((swept.removed.count, swept.kept.count) == (0, 1), "{swept:?}");
    sqlx::query("delete from app where id = $1").bind(app.id).execute(&mut *conn).await?;
    let swept = sweep_images(own, registry, &POLICY, None).await?;
    ensure!((swept.removed.count, swept.kept.count, swept.fault.clone()) == (1, 0, None), "{swept:?}");
    Ok(())
}

async fn exists(registry: &Registry, image: &str) -> Result<bool> {
    Ok(registry::exists(registry, image).await?)
}

#[tokio::test]
async fn a_cold_buildkit_imports_the_cache_of_the_default_branch() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let remote = remote::create(&platform, "cold", "static").await?;
    let name = remote.app.name.clone();
    std::fs::write(remote.tree.path.join("Dockerfile"), dockerfile(&name))?;
    let (log, first) = version(&platform, &remote, "v1").await?;
    assert!(!log.contains("imported from the registry"), "{log}");

    let mut url = Url::parse(&platform.database_url)?;
    url.set_path("slipway");
    let db = store::pool(url.as_str(), 2)?;
    let (repository, digest, layers) = exported(&db, &name).await?;
    let host = repository.split('/').next().unwrap_or_default().to_owned();
    let registry = registry::connect(Credentials::default(), vec![host])?;
    let (by_tag, by_digest) = (format!("{repository}:cache"), format!("{repository}@{digest}"));
    assert!(exists(&registry, &by_tag).await? && exists(&registry, &by_digest).await?);

    make_cold(&platform, &db, &name, &layers).await?;
    let (log, second) = version(&platform, &remote, "v2").await?;
    assert!(log.contains("the cache of the default branch is imported from the registry"), "{log}");
    assert_eq!(second, first, "the step ran again: {log}");

    let own = database::create(&platform.database_url, "cache").await?;
    let swept = sweep(&own.db, &registry, &repository, &digest).await;
    database::drop(own).await?;
    swept?;
    assert!(!exists(&registry, &by_tag).await? && !exists(&registry, &by_digest).await?);

    // Slipway's own rows still name it.
    make_cold(&platform, &db, &name, &layers).await?;
    let (log, third) = version(&platform, &remote, "v3").await?;
    assert!(log.contains("imported from the registry"), "{log}");
    assert_ne!(third, first, "{log}");
    db.close().await;
    remote::put_away(&platform, &remote).await
}

//! What nothing needs leaves the registry, and what is needed stays there.
//!
//! The policy is applied to a copy of the application's rows: with one that keeps as little as it may, images of others
//! would go too.

use anyhow::{Context as _, Result, ensure};
use builder::garbage::sweep_images;
use domain::garbage::Policy;
use harness::platform::Platform;
use harness::remote::Remote;
use harness::{app, database, platform, remote};
use registry::{Credentials, Registry};
use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, PgPool};
use url::Url;
use uuid::Uuid;

const STRICT: Policy = Policy { releases: 1, image_days: 0, mirror_days: 1 };
/// What belongs to an application, in the order of what refers to what.
const TABLES: [(&str, &str); 7] = [
    ("app", "t.id = $1"),
    ("branch", "t.app_id = $1"),
    ("push", "t.branch_id in (select id from branch where app_id = $1)"),
    ("build", "t.app_id = $1"),
    ("environment", "t.app_id = $1"),
    ("release", "t.environment_id in (select id from environment where app_id = $1)"),
    ("image", "t.app_id = $1"),
];

struct Image {
    repository: String,
    digest: String,
    index: String,
}

async fn copy_rows(from: &PgPool, to: &PgPool, app: Uuid) -> Result<()> {
    for (table, which) in TABLES {
        let rows = format!("select coalesce(jsonb_agg(to_jsonb(t)), '[]') from {table} t where {which}");
        let rows: serde_json::Value =
            sqlx::query_scalar(AssertSqlSafe(rows)).bind(app).fetch_one(from).await?;
        let columns = "select string_agg(format('%I', key), ', ') from jsonb_object_keys($1 -> 0) key";
        let columns: String = sqlx::query_scalar(columns).bind(&rows).fetch_one(to).await.context(table)?;
        let insert = format!(
            "insert into {table} ({columns}) select {columns} from jsonb_populate_recordset(null::{table}, $1)"
        );
        sqlx::query(AssertSqlSafe(insert)).bind(&rows).execute(to).await.context(table)?;
    }
    Ok(())
}

/// Oldest first.
async fn images(db: &PgPool, app: Uuid) -> Result<Vec<Image>> {
    let rows: Vec<(String, String, String)> = sqlx::query_as(
        "select repository, image.digest, index_digest from image join build on build.id = image.build_id
         where image.app_id = $1 order by number",
    )
    .bind(app)
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|(repository, digest, index)| Image { repository, digest, index }).collect())
}

async fn has(registry: &Registry, image: &Image) -> Result<[bool; 2]> {
    let exists = async |digest: &str| {
        registry::exists(registry, &format!("{}@{digest}", image.repository))
            .await
            .map_err(anyhow::Error::from)
    };
    Ok([exists(&image.digest).await?, exists(&image.index).await?])
}

/// All of it, as a node does.
async fn pull(platform: &Platform, registry: &Registry, image: &Image) -> Result<()> {
    let found = registry::inspect(registry, &format!("{}@{}", image.repository, image.index)).await?;
    ensure!(found.digest == image.digest && found.provenance.is_some(), "{found:?}");
    let (host, name) = image.repository.split_once('/').context("a repository has a host")?;
    for layer in found.layers {
        let url = format!("http://{host}/v2/{name}/blobs/{}", layer.digest);
        let bytes = platform.http.get(url).send().await?.error_for_status()?.bytes().await?;
        ensure!(
            format!("sha256:{}", hex::encode(Sha256::digest(&bytes))) == layer.digest,
            "{}",
            layer.digest
        );
    }
    Ok(())
}

async fn push_titled(platform: &Platform, remote: &Remote, title: &str) -> Result<()> {
    app::replace_title(&remote.tree.path.join("public/index.html"), title)?;
    let commit = remote::commit(&remote.tree, title).await?;
    let pushed = remote::push(remote, &[], &["main"]).await?;
    ensure!(pushed.code == Some(0), "{}", pushed.text);
    app::settled(platform, &remote.app, &commit).await?;
    app::serves(platform, &remote.app, &format!("<title>{title}")).await
}

#[tokio::test]
async fn old_images_go_and_the_live_one_stays() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let remote = remote::create(&platform, "garbage", "static").await?;
    let titles = ["first", "second", "third"].map(|it| format!("{it} of {}", remote.app.name));
    for title in &titles {
        push_titled(&platform, &remote, title).await?;
    }
    let mut url = Url::parse(&platform.database_url)?;
    url.set_path("slipway");
    let real = store::pool(url.as_str(), 2)?;
    let id = store::app::by_name(&real, &remote.app.name).await?.context("the application")?.id;
    let own = database::create(&platform.database_url, "garbage").await?;
    let swept = sweep(&platform, &real, &own.db, id).await;
    database::drop(own).await?;
    swept?;

    // Slipway's own rows know nothing of this: it looks for an image of the same input, finds it gone, and builds.
    app::serves(&platform, &remote.app, &format!("<title>{}", titles[2])).await?;
    push_titled(&platform, &remote, &titles[0]).await?;
    let newest = images(&real, id).await?.pop().context("an image")?;
    pull(&platform, &registry_of(&newest)?, &newest).await?;
    real.close().await;
    remote::put_away(&platform, &remote).await
}

/// Measured at the node's own daemon.
#[tokio::test]
async fn a_buildkit_says_how_much_it_keeps() -> Result<()> {
    let _lock = platform::share()?;
    let channel = buildkit::daemon::connect("unix:///run/slipway/buildkitd.sock")?;
    let usage = buildkit::usage::of(&channel).await?;
    assert!(usage.records > 0 && usage.bytes > 0, "{usage:?}");
    Ok(())
}

fn registry_of(image: &Image) -> Result<Registry> {
    let host = image.repository.split('/').next().unwrap_or_default();
    registry::connect(Credentials::default(), vec![host.to_owned()])
}

async fn sweep(platform: &Platform, real: &PgPool, own: &PgPool, id: Uuid) -> Result<()> {
    copy_rows(real, own, id).await?;
    let images = images(own, id).await?;
    let [first, second, live] = images.as_slice() else { anyhow::bail!("{} images", images.len()) };
    let registry = registry_of(live)?;
    for image in [first, second, live] {
        assert_eq!(has(&registry, image).await?, [true, true]);
    }
    let swept = sweep_images(own, &registry, &STRICT, Some(id)).await?;
    assert_eq!((swept.fault, swept.removed.count, swept.kept.count, swept.left.count), (None, 2, 1, 0));
    assert!(swept.removed.bytes > 0 && swept.removed.bytes < swept.kept.bytes, "{:?}", swept.removed);
    for image in [first, second] {
        assert_eq!(has(&registry, image).await?, [false, false]);
    }
    pull(platform, &registry, live).await?;
    let again = sweep_images(own, &registry, &STRICT, Some(id)).await?;
    assert_eq!((again.removed.count, again.removed.bytes, again.kept), (0, 0, swept.kept));
    Ok(())
}

//! What is told of what is in an image, made or not.

use super::*;

const PATH: &str = "/api/v1/apps/demo/builds/1/sbom";

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn it_is_there_or_says_why_it_is_not(db: PgPool) {
    let web = web(&db).await;
    let app = demo(&db).await;
    let (build, job) = running(&db, &app, 'a').await;
    let is_not = async |said: &str| {
        let (status, _, body) = get(&web, PATH).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(body.contains(&format!("the SBOM of #1 of demo {said}")), "{body}");
        assert!(!get(&web, "/apps/demo/builds/1").await.2.contains("/sbom\""));
    };
    is_not("is not there: only builds that made an image").await;
    let release = released(&db, &app, &build, &job).await;
    let mut conn = db.acquire().await.unwrap();
    store::build::record_image(&mut conn, &build, "registry/demo", "sha256:1", 7).await.unwrap();
    is_not("went with its image").await;
    store::sbom::want(&mut conn, app.id, "sha256:1").await.unwrap();
    is_not("is not made yet").await;
    live(&db, &release).await;
    let wanted = store::sbom::begin(&db).await.unwrap().unwrap();
    store::sbom::fail(&db, &wanted, "the registry is away").await.unwrap();
    is_not("could not be made yet, and is tried again: the registry is away").await;
    sqlx::query("update sbom set due_at = null").execute(&db).await.unwrap();
    is_not("could not be made: the registry is away").await;

    let document = json!({"spdxVersion": "SPDX-2.3"});
    assert!(store::sbom::finish(&db, &wanted, &document.to_string()).await.unwrap());
    assert_eq!(get_json(&web, PATH).await, document);
    let (_, headers, _) = get(&web, PATH).await;
    assert_eq!(headers[header::CONTENT_TYPE], "application/spdx+json");
    let page = get(&web, "/apps/demo/builds/1").await.2;
    assert!(page.contains(&format!("<a href=\"{PATH}\">SPDX 2.3</a>")), "{page}");
}

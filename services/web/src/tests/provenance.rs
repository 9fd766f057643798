//! What is shown of how an image was made.

use store::provenance::{Attested, Base};

use super::*;

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn bases_and_provenance_of_a_build(db: PgPool) {
    let web = web(&db).await;
    let app = demo(&db).await;
    let (build, job) = running(&db, &app, 'a').await;
    let (status, _, body) = get(&web, "/api/v1/apps/demo/builds/1/provenance").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body.contains("#1 of demo has no provenance"), "{body}");
    released(&db, &app, &build, &job).await;
    let predicate = json!({"buildDefinition": {"buildType": "x"}, "runDetails": {}});
    let base = |name: &str| Base { name: name.to_owned(), digest: "sha256:ba5e".to_owned() };
    let bases = [base("node:24"), base("alpine:3.22"), base("alpine:3.22")];
    let attested = Attested { index_digest: "sha256:1d", predicate: &predicate, bases: &bases };
    let mut conn = db.acquire().await.unwrap();
    store::build::record_image(&mut conn, &build, "registry/demo", "sha256:1", 7).await.unwrap();
    store::provenance::record(&mut conn, build.id, &attested).await.unwrap();

    assert_eq!(get_json(&web, "/api/v1/apps/demo/builds/1/provenance").await, predicate);
    let shown = get_json(&web, "/api/v1/apps/demo/builds/1").await;
    let expected = json!([
        {"name": "alpine:3.22", "digest": "sha256:ba5e"}, {"name": "node:24", "digest": "sha256:ba5e"}
    ]);
    assert_eq!(shown["bases"], expected);
    let page = get(&web, "/apps/demo/builds/1").await.2;
    assert!(
        page.contains("alpine:3.22 <code>sha256:ba5e</code>") && page.contains("/provenance\""),
        "{page}"
    );

    let (same, job) = running(&db, &app, 'b').await;
    released(&db, &app, &same, &job).await;
    store::build::record_image(&mut conn, &same, "registry/demo", "sha256:1", 7).await.unwrap();
    store::provenance::inherit(&mut conn, same.id, build.id).await.unwrap();
    assert_eq!(get_json(&web, "/api/v1/apps/demo/builds/2/provenance").await, predicate);
    assert_eq!(get_json(&web, "/api/v1/apps/demo/builds/2").await["bases"], expected);
}

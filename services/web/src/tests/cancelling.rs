//! Cancelling builds, by the API and the form, and what is shown of it.

use store::build::Build;
use store::queue::Beat;

use super::*;

fn cancel(number: i32) -> Request<Body> {
    bearer("POST", &format!("/api/v1/apps/demo/builds/{number}/cancel")).body(Body::empty()).unwrap()
}

async fn refused(web: &Router, number: i32) -> String {
    let (status, headers, body) = send(web, cancel(number)).await;
    assert_eq!(status, StatusCode::CONFLICT, "{body}");
    assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
    let problem: Value = serde_json::from_str(&body).unwrap();
    problem["detail"].as_str().unwrap().to_owned()
}

/// What a builder does once it was asked to stop.
async fn stopped(db: &PgPool, build: &Build, job: &Job) {
    assert_eq!(store::queue::beat(db, job, store::worker::LEASE).await.unwrap(), Beat::CancelRequested);
    let mut tx = db.begin().await.unwrap();
    assert!(store::queue::finish(&mut tx, job, Outcome::Cancelled).await.unwrap());
    assert!(store::build::stop(&mut tx, build).await.unwrap());
    tx.commit().await.unwrap();
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_build_that_waits_is_over_at_once(db: PgPool) {
    let web = web(&db).await;
    let app = demo(&db).await;
    pushed(&db, &app, 'a').await;
    assert_eq!(send(&web, cancel(2)).await.0, StatusCode::NOT_FOUND);
    let (status, _, body) = send(&web, cancel(1)).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let build: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&build["status"], &build["cancelled_by"]), (&json!("cancelled"), &json!("bootstrap admin")));
    assert_eq!(build["cancelled_at"], build["finished_at"]);
    assert_eq!(refused(&web, 1).await, "#1 has ended: it was cancelled by bootstrap admin before");
    let page = get(&web, "/apps/demo/builds/1").await.2;
    assert!(page.contains("Cancelled by <b>bootstrap admin</b>") && !page.contains("/cancel\""), "{page}");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_build_that_runs_is_stopped_by_its_builder(db: PgPool) {
    let web = web(&db).await;
    let app = demo(&db).await;
    let (build, job) = running(&db, &app, 'a').await;
    let action = "/apps/demo/builds/1/cancel";
    let page = get(&web, "/apps/demo/builds/1").await.2;
    assert!(page.contains(&format!("<form method=\"post\" action=\"{action}\">")), "{page}");
    let (status, headers, _) = send(&web, bearer("POST", action).body(Body::empty()).unwrap()).await;
    assert_eq!(
        (status, headers[header::LOCATION].to_str().unwrap()),
        (StatusCode::SEE_OTHER, "/apps/demo/builds/1")
    );
    let page = get(&web, "/apps/demo/builds/1").await.2;
    assert!(page.contains("It is being stopped") && !page.contains(action), "{page}");
    assert_eq!(send(&web, cancel(1)).await.0, StatusCode::OK, "asking twice is no fault");

    stopped(&db, &build, &job).await;
    let shown = get_json(&web, "/api/v1/apps/demo/builds/1").await;
    assert_eq!((&shown["status"], &shown["cancelled_by"]), (&json!("cancelled"), &json!("bootstrap admin")));
    let (status, _, page) = send(&web, bearer("POST", action).body(Body::empty()).unwrap()).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(page.contains("it was cancelled by"), "{page}");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn too_late_says_what_to_do_instead(db: PgPool) {
    let web = web(&db).await;
    let app = demo(&db).await;
    let (build, job) = running(&db, &app, 'a').await;
    let release = released(&db, &app, &build, &job).await;
    let why = refused(&web, 1).await;
    assert!(
        why.contains("it is built, and its release v1 is next") && why.contains("push the commit"),
        "{why}"
    );
    let mut conn = db.acquire().await.unwrap();
    assert!(store::release::start(&mut conn, release.id, &json!([])).await.unwrap());
    assert!(refused(&web, 1).await.contains("it is being rolled out as v1"));
    assert!(store::release::make_live(&mut conn, &release).await.unwrap());
    let why = refused(&web, 1).await;
    assert!(why.contains("it is live as v1 in main") && why.contains("remove the environment"), "{why}");

    pushed(&db, &app, 'b').await;
    pushed(&db, &app, 'c').await;
    assert_eq!(refused(&web, 2).await, "#2 has ended: #3 took its place; cancel that one");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn who_may_only_read_sees_no_button(db: PgPool) {
    let web = web(&db).await;
    let app = demo(&db).await;
    pushed(&db, &app, 'a').await;
    let new = store::token::NewToken {
        name: "reader",
        scope: domain::scope::Scope::Read,
        app_id: None,
        seconds: None,
        created_by: "a test",
    };
    let (_, secret) = store::token::create(&db, &new).await.unwrap().unwrap();
    let as_reader =
        request("GET", "/apps/demo/builds/1").header(header::AUTHORIZATION, format!("Bearer {secret}"));
    let page = send(&web, as_reader.body(Body::empty()).unwrap()).await.2;
    assert!(page.contains("queued") && !page.contains("/cancel\""), "{page}");
}

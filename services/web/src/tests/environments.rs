//! Environments: what is shown of them, and how one is removed.

use domain::state::{BuildState, ReleaseState};

use super::*;

async fn environment(web: &Router) -> Value {
    get_json(web, "/api/v1/apps/demo/environments").await["environments"][0].clone()
}

async fn expire(db: &PgPool, at: &str) {
    sqlx::query("update environment set expires_at = $1::timestamptz").bind(at).execute(db).await.unwrap();
}

/// What a deployer does with the removal that is queued.
async fn removed(db: &PgPool) {
    let job = store::queue::claim(db, &[JobKind::Deploy], "w", store::worker::LEASE).await.unwrap().unwrap();
    let mut tx = db.begin().await.unwrap();
    assert!(store::environment::begin_removal(&mut tx, &job).await.unwrap());
    assert!(store::environment::end_removal(&mut tx, &job).await.unwrap());
    tx.commit().await.unwrap();
}

async fn live_demo(db: &PgPool) -> (App, store::release::Release) {
    let app = demo(db).await;
    let (build, job) = running(db, &app, 'a').await;
    let release = released(db, &app, &build, &job).await;
    let deploying =
        store::queue::claim(db, &[JobKind::Deploy], "w", store::worker::LEASE).await.unwrap().unwrap();
    live(db, &release).await;
    let mut conn = db.acquire().await.unwrap();
    assert!(store::queue::finish(&mut conn, &deploying, Outcome::Done).await.unwrap());
    (app, release)
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn when_one_goes_by_itself_is_shown(db: PgPool) {
    let web = web(&db).await;
    live_demo(&db).await;
    let shown = environment(&web).await;
    assert_eq!((&shown["expires_at"], &shown["removal_asked_at"]), (&Value::Null, &Value::Null));
    assert!(!get(&web, "/apps/demo").await.2.contains("class=\"until\""));
    expire(&db, "2099-01-02T03:04:05Z").await;
    assert_eq!(environment(&web).await["expires_at"], "2099-01-02T03:04:05Z");
    let page = get(&web, "/apps/demo").await.2;
    assert!(
        page.contains("<time class=\"until\" datetime=\"2099-01-02T03:04:05Z\">2099-01-02 03:04:05Z</time>"),
        "{page}"
    );
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn one_is_removed_and_its_builds_stay(db: PgPool) {
    let web = web(&db).await;
    let (app, release) = live_demo(&db).await;
    let (under_way, _) = running(&db, &app, 'b').await;
    let remove = |env: &str| {
        bearer("DELETE", &format!("/api/v1/apps/demo/environments/{env}")).body(Body::empty()).unwrap()
    };
    let (status, _, body) = send(&web, remove("feature")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body.contains("demo has no environment called"), "{body}");
    for _ in 0..2 {
        assert_eq!(send(&web, remove("main")).await.0, StatusCode::ACCEPTED, "asking twice is no fault");
    }
    let cancel: bool = sqlx::query_scalar("select cancel from job where kind = 'build' and subject = $1")
        .bind(under_way.id)
        .fetch_one(&db)
        .await
        .unwrap();
    assert!(cancel, "what would bring it back is stopped");
    assert!(environment(&web).await["removal_asked_at"].is_string());
    let page = get(&web, "/apps/demo").await.2;
    assert!(page.contains("It is being removed.") && !page.contains("Remove main"), "{page}");

    removed(&db).await;
    assert_eq!(environment(&web).await, Value::Null);
    assert_eq!(send(&web, remove("main")).await.0, StatusCode::NOT_FOUND);
    let build = store::build::get(&db, release.build_id).await.unwrap().unwrap();
    assert_eq!(build.state.0, BuildState::Succeeded);
    let shown = get_json(&web, "/api/v1/apps/demo/builds/1").await;
    assert_eq!((&shown["status"], &shown["release"]), (&json!("removed"), &Value::Null));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_form_is_there_for_who_may_push(db: PgPool) {
    let web = web(&db).await;
    let (_, release) = live_demo(&db).await;
    let new = store::token::NewToken {
        name: "reader",
        scope: domain::scope::Scope::Read,
        app_id: None,
        seconds: None,
        created_by: "a test",
    };
    let (_, secret) = store::token::create(&db, &new).await.unwrap().unwrap();
    let as_reader = request("GET", "/apps/demo").header(header::AUTHORIZATION, format!("Bearer {secret}"));
    let page = send(&web, as_reader.body(Body::empty()).unwrap()).await.2;
    assert!(page.contains("env-demo--main") && !page.contains("Remove"), "{page}");

    let page = get(&web, "/apps/demo").await.2;
    let action = "/apps/demo/environments/main/remove";
    assert!(page.contains(&format!("<form method=\"post\" action=\"{action}\">")), "{page}");
    let (status, headers, _) = send(&web, bearer("POST", action).body(Body::empty()).unwrap()).await;
    assert_eq!((status, headers[header::LOCATION].to_str().unwrap()), (StatusCode::SEE_OTHER, "/apps/demo"));
    let serving = store::release::get(&db, release.id).await.unwrap().unwrap();
    assert_eq!(serving.state.0, ReleaseState::Live, "until the removal begins");
    assert!(environment(&web).await["removal_asked_at"].is_string());
}

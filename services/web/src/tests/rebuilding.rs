//! Having a commit built again, by the API and the form.

use super::*;

fn rebuild(number: i32, query: &str) -> Request<Body> {
    bearer("POST", &format!("/api/v1/apps/demo/builds/{number}/rebuild{query}")).body(Body::empty()).unwrap()
}

/// As its owner stops it while it waits.
async fn cancelled(web: &Router, number: i32) {
    let path = format!("/api/v1/apps/demo/builds/{number}/cancel");
    assert_eq!(send(web, bearer("POST", &path).body(Body::empty()).unwrap()).await.0, StatusCode::OK);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_new_build_says_of_which_one_it_is(db: PgPool) {
    let web = web(&db).await;
    let app = demo(&db).await;
    pushed(&db, &app, 'a').await;
    let page = get(&web, "/apps/demo/builds/1").await.2;
    assert!(!page.contains("/rebuild"), "it waits: {page}");
    let (status, _, body) = send(&web, rebuild(1, "")).await;
    assert_eq!(status, StatusCode::CONFLICT, "{body}");
    assert!(body.contains("#1 of main is under way: wait for its end, or cancel it first"), "{body}");

    cancelled(&web, 1).await;
    let page = get(&web, "/apps/demo/builds/1").await.2;
    assert!(page.contains("/apps/demo/builds/1/rebuild?no_cache=true"), "{page}");
    let (status, _, body) = send(&web, rebuild(1, "?no_cache=true")).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    let new: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (&new["number"], &new["rebuild_of"], &new["status"], &new["pusher"]),
        (&json!(2), &json!(1), &json!("queued"), &json!("bootstrap admin"))
    );
    assert!(store::build::by_number(&db, app.id, 2).await.unwrap().unwrap().no_cache);
    let page = get(&web, "/apps/demo/builds/2").await.2;
    assert!(page.contains("<a href=\"/apps/demo/builds/1\">#1</a> again for bootstrap admin"), "{page}");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_form_leads_to_the_new_build(db: PgPool) {
    let web = web(&db).await;
    let app = demo(&db).await;
    pushed(&db, &app, 'a').await;
    cancelled(&web, 1).await;
    let (status, headers, _) =
        send(&web, bearer("POST", "/apps/demo/builds/1/rebuild").body(Body::empty()).unwrap()).await;
    let location = headers[header::LOCATION].to_str().unwrap();
    assert_eq!((status, location), (StatusCode::SEE_OTHER, "/apps/demo/builds/2"));
    assert!(!store::build::by_number(&db, app.id, 2).await.unwrap().unwrap().no_cache);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_older_commit_is_not_brought_back(db: PgPool) {
    let web = web(&db).await;
    let app = demo(&db).await;
    pushed(&db, &app, 'a').await;
    cancelled(&web, 1).await;
    pushed(&db, &app, 'b').await;
    cancelled(&web, 2).await;
    let (status, _, body) = send(&web, rebuild(1, "")).await;
    assert_eq!(status, StatusCode::CONFLICT, "{body}");
    assert!(body.contains("#1 is not what main is now: build #2 again"), "{body}");
    assert_eq!(send(&web, rebuild(7, "")).await.0, StatusCode::NOT_FOUND);
}

/// What the pushes go on from, the newest last.
async fn trace_parents(db: &PgPool) -> Vec<Option<String>> {
    sqlx::query_scalar("select trace_parent from push order by generation").fetch_all(db).await.unwrap()
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_new_build_goes_on_from_the_trace_of_who_asked(db: PgPool) {
    let web = web(&db).await;
    let app = demo(&db).await;
    pushed(&db, &app, 'a').await;
    cancelled(&web, 1).await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let traced = |mut request: Request<Body>, parent: &str| {
        request.headers_mut().insert("traceparent", parent.parse().unwrap());
        request
    };
    let stranger = request("POST", "/api/v1/apps/demo/builds/1/rebuild").body(Body::empty()).unwrap();
    assert_eq!(send(&web, traced(stranger, parent)).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(send(&web, traced(rebuild(1, ""), parent)).await.0, StatusCode::CREATED);
    cancelled(&web, 2).await;
    assert_eq!(send(&web, traced(rebuild(2, ""), "no parent")).await.0, StatusCode::CREATED);
    assert_eq!(trace_parents(&db).await, [None, Some(parent.to_owned()), None]);
}

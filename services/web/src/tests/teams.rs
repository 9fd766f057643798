//! Teams, shares and policies through the API; and what a build that waits is told.

use domain::scope::Scope;
use store::token::NewToken;

use super::*;

async fn json(web: &Router, method: &str, path: &str, body: &Value) -> Answer {
    send(web, bearer(method, path).body(Body::from(body.to_string())).unwrap()).await
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn shares_are_changed_and_shown(db: PgPool) {
    let web = web(&db).await;
    demo(&db).await;
    let wanted = json!({"team": "web", "build_limit": 3, "branches": {"main": "every", "feature/x": "finish-running"}});
    let (status, _, body) = json(&web, "PATCH", "/api/v1/apps/demo", &wanted).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    assert!(body.contains("no team called"), "{body}");
    assert_eq!(get_json(&web, "/api/v1/apps/demo").await["branches"], json!({}), "all or nothing");
    let (status, _, body) =
        json(&web, "PUT", "/api/v1/teams/web", &json!({"weight": 4, "build_limit": 2})).await;
    assert_eq!((status, body.as_str()), (StatusCode::NO_CONTENT, ""));
    let (status, _, body) = json(&web, "PATCH", "/api/v1/apps/demo", &wanted).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let app = get_json(&web, "/api/v1/apps/demo").await;
    assert_eq!((&app["team"], &app["weight"], &app["build_limit"]), (&json!("web"), &json!(1), &json!(3)));
    assert_eq!(app["branches"], json!({"main": "every", "feature/x": "finish-running"}));
    json(&web, "PUT", "/api/v1/teams/web", &json!({"build_limit": 0})).await;
    let teams = get_json(&web, "/api/v1/teams").await;
    let web_team =
        json!({"name": "web", "weight": 4, "build_limit": null, "apps": 1, "waiting": 0, "running": 0});
    assert_eq!((&teams["teams"][0]["name"], &teams["teams"][1]), (&json!("default"), &web_team));

    for (method, path, body, field) in [
        ("PATCH", "/api/v1/apps/demo", json!({"weight": 0}), "weight"),
        ("PATCH", "/api/v1/apps/demo", json!({"build_limit": 1001}), "build_limit"),
        ("PATCH", "/api/v1/apps/demo", json!({"branches": {"main": "some"}}), "branches"),
        ("PATCH", "/api/v1/apps/demo", json!({"branches": {"-x": "every"}}), "branches"),
        ("PUT", "/api/v1/teams/web", json!({"weight": -1}), "weight"),
        ("PUT", "/api/v1/teams/We%20b", json!({}), "name"),
    ] {
        let (status, _, answer) = json(&web, method, path, &body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path} {body}: {answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["errors"][0]["field"], field, "{answer}");
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_token_for_one_application_takes_nothing_from_others(db: PgPool) {
    let web = web(&db).await;
    let app = demo(&db).await;
    let new = NewToken {
        name: "own",
        scope: Scope::Admin,
        app_id: Some(app.id),
        seconds: None,
        created_by: "a test",
    };
    let (_, secret) = store::token::create(&db, &new).await.unwrap().unwrap();
    let ask = async |body: Value| {
        let request =
            request("PATCH", "/api/v1/apps/demo").header(header::AUTHORIZATION, format!("Bearer {secret}"));
        send(&web, request.body(Body::from(body.to_string())).unwrap()).await.0
    };
    for body in [json!({"weight": 9}), json!({"build_limit": 9}), json!({"team": "default"})] {
        assert_eq!(ask(body).await, StatusCode::FORBIDDEN);
    }
    assert_eq!(ask(json!({"branches": {"main": "every"}})).await, StatusCode::OK, "that is its own affair");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn who_waits_is_told_its_place_and_superseded_ones_are_linked_both_ways(db: PgPool) {
    let web = web(&db).await;
    let app = demo(&db).await;
    running(&db, &app, 'a').await;
    for commit in ['b', 'c'] {
        pushed(&db, &app, commit).await;
    }
    let waiting = get_json(&web, "/api/v1/apps/demo/builds/3").await;
    let queue = &waiting["queue"];
    assert_eq!(
        (&queue["position"], &queue["running"], &queue["reason"]),
        (&json!(1), &json!(1), &json!("branch"))
    );
    assert!(queue["why"].as_str().unwrap().contains("#1"), "{queue}");
    assert_eq!(waiting["supersedes"], json!([2]));
    let page = get(&web, "/apps/demo/builds/3").await.2;
    assert!(page.contains("Number 1 of 1") && page.contains("It waits for #1"), "{page}");
    assert!(page.contains("took the place of") && page.contains("href=\"/apps/demo/builds/2\""), "{page}");
    let superseded = get_json(&web, "/api/v1/apps/demo/builds/2").await;
    assert_eq!((&superseded["superseded_by"], &superseded["queue"]), (&json!(3), &json!(null)));
    assert_eq!(superseded["supersedes"], json!([]));
}

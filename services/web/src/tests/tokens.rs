//! Making, listing and revoking tokens through the API and the page.

use super::*;

async fn whoami(web: &Router, secret: &str) -> StatusCode {
    let request = request("GET", "/api/v1/whoami").header(header::AUTHORIZATION, format!("Bearer {secret}"));
    send(web, request.body(Body::empty()).unwrap()).await.0
}

async fn delete(web: &Router, which: &str) -> StatusCode {
    let path = format!("/api/v1/tokens/{which}");
    send(web, bearer("DELETE", &path).body(Body::empty()).unwrap()).await.0
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_token_is_made_listed_and_revoked(db: PgPool) {
    let web = web(&db).await;
    demo(&db).await;
    let wanted = json!({"name": "ci runner", "scope": "push", "app": "demo", "expires": "90d"});
    let (status, _, body) = post_json(&web, "/api/v1/tokens", &wanted).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    let created: Value = serde_json::from_str(&body).unwrap();
    let secret = created["secret"].as_str().unwrap().to_owned();
    let token = &created["token"];
    assert_eq!((&token["scope"], &token["app"]), (&json!("push"), &json!("demo")));
    assert_eq!((&token["created_by"], &token["is_expired"]), (&json!("bootstrap admin"), &json!(false)));
    let (status, _, body) = post_json(&web, "/api/v1/tokens", &wanted).await;
    assert_eq!(status, StatusCode::CONFLICT, "{body}");

    let listed = async || get_json(&web, "/api/v1/tokens").await["tokens"].as_array().unwrap().clone();
    let ci = async || listed().await.into_iter().find(|it| it["name"] == "ci runner").unwrap();
    assert_eq!(ci().await["last_used_at"], json!(null));
    assert_eq!(whoami(&web, &secret).await, StatusCode::OK);
    assert!(ci().await["last_used_at"].is_string());
    for path in ["/tokens", "/api/v1/tokens"] {
        let body = get(&web, path).await.2;
        assert!(body.contains("ci runner") && !body.contains(&secret), "{path}: {body}");
    }

    let form = form("POST", "/login", &format!("token={secret}"));
    let (status, headers, _) = send(&web, form).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let cookie = headers[header::SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(delete(&web, "ci%20runner").await, StatusCode::NO_CONTENT);
    assert_eq!(delete(&web, "ci%20runner").await, StatusCode::NOT_FOUND);
    assert_eq!(whoami(&web, &secret).await, StatusCode::UNAUTHORIZED);
    let page = request("GET", "/apps/demo").header(header::COOKIE, cookie).body(Body::empty()).unwrap();
    assert_eq!(send(&web, page).await.0, StatusCode::SEE_OTHER, "its login ended with it");
    assert_eq!(delete(&web, "bootstrap%20admin").await, StatusCode::CONFLICT);
    assert_eq!(listed().await.len(), 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn nobody_is_told_why_a_token_is_refused(db: PgPool) {
    let web = web(&db).await;
    let mut answers = Vec::new();
    for end in
        ["delete from token where name = 'ci'", "update token set expires_at = now() where name = 'ci'"]
    {
        let wanted = json!({"name": "ci", "scope": "read", "expires": "1h"});
        let body = post_json(&web, "/api/v1/tokens", &wanted).await.2;
        let created: Value = serde_json::from_str(&body).unwrap();
        sqlx::query(end).execute(&db).await.unwrap();
        let bearer = format!("Bearer {}", created["secret"].as_str().unwrap());
        let request = request("GET", "/api/v1/apps").header(header::AUTHORIZATION, bearer);
        let (status, _, body) = send(&web, request.body(Body::empty()).unwrap()).await;
        answers.push((status, body));
    }
    let unknown = request("GET", "/api/v1/apps").header(header::AUTHORIZATION, "Bearer slip_0");
    let (status, _, body) = send(&web, unknown.body(Body::empty()).unwrap()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(answers, [(status, body.clone()), (status, body)]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_wrong_wish_makes_no_token(db: PgPool) {
    let web = web(&db).await;
    let wrong = json!({"name": "a\nb", "scope": "root", "app": "nobody", "expires": "soon"});
    let (status, headers, body) = post_json(&web, "/api/v1/tokens", &wrong).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
    let problem: Value = serde_json::from_str(&body).unwrap();
    let fields: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|it| it["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["name", "scope", "app", "expires"]);
    let unknown_field = json!({"name": "ci", "scope": "read", "application": "demo"});
    assert_eq!(post_json(&web, "/api/v1/tokens", &unknown_field).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(get_json(&web, "/api/v1/tokens").await["tokens"].as_array().unwrap().len(), 1);
}

fn filled_in(path: &str, body: &str) -> Request<Body> {
    let mut request = form("POST", path, body);
    request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {TOKEN}").parse().unwrap());
    request
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_page_makes_and_revokes_tokens(db: PgPool) {
    let web = web(&db).await;
    demo(&db).await;
    let page = get(&web, "/tokens").await.2;
    assert!(page.contains("bootstrap admin") && page.contains("<option>demo"), "{page}");
    assert!(!page.contains("/revoke"), "the one made at install stays: {page}");
    let wrong = "name=%3Cb%3E&scope=push&app=&expires=later";
    let (status, _, page) = send(&web, filled_in("/tokens", wrong)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.contains("value=\"&#60;b&#62;\"") && page.contains("such as 90d"), "{page}");
    let good = "name=laptop&scope=admin&app=&expires=";
    let (status, _, page) = send(&web, filled_in("/tokens", good)).await;
    assert_eq!(status, StatusCode::CREATED, "{page}");
    let secret = page.split('"').find(|part| part.starts_with("slip_")).unwrap().to_owned();
    assert_eq!(whoami(&web, &secret).await, StatusCode::OK);
    assert_eq!(send(&web, filled_in("/tokens", good)).await.0, StatusCode::CONFLICT);
    let page = get(&web, "/tokens").await.2;
    assert!(!page.contains(&secret), "shown once");
    let revoke = page.split('"').find(|part| part.ends_with("/revoke")).unwrap().to_owned();
    for _ in 0..2 {
        assert_eq!(send(&web, filled_in(&revoke, "")).await.0, StatusCode::SEE_OTHER);
    }
    assert_eq!(whoami(&web, &secret).await, StatusCode::UNAUTHORIZED);
}

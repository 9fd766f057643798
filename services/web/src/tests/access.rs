//! Nothing without a login; logging in and out; who may send forms.

use super::*;
use crate::{api, pages};

/// Every page, and every operation that the API describes, with or without a rule.
pub(super) fn routes() -> Vec<(Method, String)> {
    let mut routes: Vec<_> = pages::rules().into_iter().map(|rule| (rule.method, rule.path)).collect();
    routes.push((Method::GET, "/api/v1/openapi.json".to_owned()));
    for (path, item) in api::described().into_openapi().paths.paths {
        let operations = serde_json::to_value(&item).unwrap();
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            if operations.get(method.as_str().to_lowercase()).is_some() {
                routes.push((method, format!("/api/v1{path}")));
            }
        }
    }
    assert!(routes.len() > 25, "{routes:?}");
    routes
}

/// With a value in the place of each parameter.
pub(super) fn fill(path: &str, app: &str, id: &str) -> String {
    let path =
        path.replace("{app}", app).replace("{number}", "1").replace("{env}", "main").replace("{id}", id);
    let path = path.replace("{name}", "TOKEN");
    assert!(!path.contains('{'), "say here what stands for the parameter of {path}");
    path
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn every_route_needs_a_login(db: PgPool) {
    let web = web(&db).await;
    let app = demo(&db).await;
    pushed(&db, &app, 'a').await;
    let nothing = ["/nothing", "/api/v1/nothing"].map(|path| (Method::GET, path.to_owned()));
    for (method, path) in routes().into_iter().chain(nothing) {
        let (method, path) = (method.as_str(), fill(&path, "demo", "bootstrap admin"));
        let path = path.replace(' ', "%20");
        let bare = request(method, &path).body(Body::empty()).unwrap();
        let (status, headers, body) = send(&web, bare).await;
        if path.starts_with("/api/") {
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path}");
            assert_eq!(headers[header::WWW_AUTHENTICATE], "Bearer");
            assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
        } else {
            assert_eq!(status, StatusCode::SEE_OTHER, "{method} {path}");
            assert!(headers[header::LOCATION].to_str().unwrap().starts_with("/login"), "{path}");
        }
        assert!(!body.contains("demo"), "{method} {path}: {body}");
        let cookie =
            request(method, &path).header(header::COOKIE, "slipway_session=guess").body(Body::empty());
        let status = send(&web, cookie.unwrap()).await.0;
        assert!(
            matches!(status, StatusCode::UNAUTHORIZED | StatusCode::SEE_OTHER),
            "{method} {path}: {status}"
        );
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_api_describes_itself(db: PgPool) {
    let web = web(&db).await;
    let description = get_json(&web, "/api/v1/openapi.json").await;
    assert_eq!(description["paths"]["/tokens"]["post"]["security"], json!([{"token": ["admin"]}]));
    assert_eq!(description["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    // Two types of one name would be described as one.
    for (body, field) in [("Wanted", "repo_url"), ("WantedToken", "expires"), ("CreatedToken", "secret")] {
        let fields = &description["components"]["schemas"][body]["properties"];
        assert!(fields[field].is_object(), "{body}: {fields}");
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_is_open_to_everybody(db: PgPool) {
    let web = web(&db).await;
    let (status, headers, login) =
        send(&web, request("GET", "/login?next=%2Fapps").body(Body::empty()).unwrap()).await;
    assert_eq!(status, StatusCode::OK);
    assert!(login.contains("name=\"next\" value=\"/apps\""), "{login}");
    assert_eq!(headers[header::CACHE_CONTROL], "no-store");
    let style = login.split('"').find(|part| part.ends_with("base.css")).unwrap();
    let (status, headers, _) = send(&web, request("GET", style).body(Body::empty()).unwrap()).await;
    assert_eq!(status, StatusCode::OK);
    assert!(headers[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
    let older = send(&web, request("GET", "/assets/0123/main.js").body(Body::empty()).unwrap()).await;
    assert_eq!(older.1[header::CACHE_CONTROL], "no-store", "of another version");
    assert_eq!(send(&web, request("GET", "/healthz").body(Body::empty()).unwrap()).await.2, "ok");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_browser_logs_in_and_out(db: PgPool) {
    let web = web(&db).await;
    let (status, headers, _) =
        send(&web, form("POST", "/login", "token=secret-token&next=%2Fapps%2Fnew")).await;
    assert_eq!((status, &headers[header::LOCATION]), (StatusCode::SEE_OTHER, &"/apps/new".parse().unwrap()));
    let cookie = headers[header::SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
    let with_cookie = |method: &str, path: &str, from: &str| {
        let request =
            request(method, path).header(header::COOKIE, format!("slipway_session=tossed; {cookie}"));
        request.header("sec-fetch-site", from).body(Body::empty()).unwrap()
    };
    assert_eq!(send(&web, with_cookie("GET", "/", "none")).await.0, StatusCode::OK);
    // An application on a subdomain is the same site and gets the cookie sent.
    for from in ["same-site", "cross-site"] {
        for path in ["/apps/new", "/logout", "/tokens", "/api/v1/apps", "/api/v1/tokens"] {
            assert_eq!(
                send(&web, with_cookie("POST", path, from)).await.0,
                StatusCode::FORBIDDEN,
                "{path} {from}"
            );
        }
    }
    let (status, headers, _) = send(&web, with_cookie("POST", "/logout", "same-origin")).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert!(headers[header::SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(
        send(&web, with_cookie("GET", "/", "none")).await.0,
        StatusCode::SEE_OTHER,
        "the session is over"
    );
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn guessing_is_slowed_down(db: PgPool) {
    let web = web(&db).await;
    let from = |address: &str| {
        let mut guess = form("POST", "/login", "token=guess");
        guess.headers_mut().insert("x-forwarded-for", address.parse().unwrap());
        guess
    };
    for _ in 0..10 {
        assert_eq!(send(&web, from("10.0.0.1")).await.0, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(send(&web, from("10.0.0.1")).await.0, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(send(&web, from("10.0.0.2")).await.0, StatusCode::UNAUTHORIZED, "another client");
    let wrong =
        || request("GET", "/api/v1/whoami").header(header::AUTHORIZATION, "Bearer wrong").body(Body::empty());
    let mut statuses = Vec::new();
    for _ in 0..12 {
        statuses.push(send(&web, wrong().unwrap()).await.0);
    }
    assert_eq!(statuses[..9], [StatusCode::UNAUTHORIZED; 9]);
    assert_eq!(statuses[11], StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(get_json(&web, "/api/v1/whoami").await["name"], "bootstrap admin", "a known token passes");
}

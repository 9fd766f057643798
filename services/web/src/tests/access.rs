//! Nothing without a login; logging in and out; who may send forms.

use super::*;
use crate::{api, pages};

/// Every route there is, with a name in the place of each parameter.
fn routes() -> Vec<(&'static str, String)> {
    let fill = |path: &str| path.replace("{app}", "demo").replace("{number}", "1");
    let description = api::described().into_openapi();
    let mut routes: Vec<_> = pages::routes().iter().map(|(path, _)| ("GET", fill(path))).collect();
    routes.extend([("POST", "/apps/new".to_owned()), ("POST", "/logout".to_owned())]);
    for (path, item) in &description.paths.paths {
        routes.extend(item.get.as_ref().map(|_| ("GET", fill(&format!("/api/v1{path}")))));
        routes.extend(item.post.as_ref().map(|_| ("POST", fill(&format!("/api/v1{path}")))));
    }
    routes
        .extend(["/nothing", "/api/v1/nothing", "/api/v1/openapi.json"].map(|path| ("GET", path.to_owned())));
    assert!(routes.len() > 20, "{routes:?}");
    routes
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn every_route_needs_a_login(db: PgPool) {
    let web = web(&db).await;
    let app = demo(&db).await;
    pushed(&db, &app, 'a').await;
    for (method, path) in routes() {
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
        for path in ["/apps/new", "/logout", "/api/v1/apps"] {
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

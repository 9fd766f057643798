//! Which token may do what: every route, made from the routers' own tables, with every kind of token and login.

use domain::reason::{Reason, ReasonCode};
use domain::scope::Scope;
use store::token::{NewToken, Token};
use uuid::Uuid;

use super::access::{fill, routes};
use super::*;

/// What a route needs, said here a second time: one that is neither looked at nor listed here fails the test.
fn needed(method: &Method, path: &str) -> Scope {
    match (method.as_str(), path) {
        (_, "/garbage" | "/api/v1/garbage") => Scope::Admin,
        (_, "/tokens" | "/tokens/{id}/revoke" | "/api/v1/tokens" | "/api/v1/tokens/{id}") => Scope::Admin,
        (_, "/api/v1/apps/{app}/secrets" | "/api/v1/apps/{app}/secrets/{name}") => Scope::Admin,
        (_, "/api/v1/apps/{app}/args" | "/api/v1/apps/{app}/args/{name}") => Scope::Admin,
        (_, "/api/v1/teams" | "/api/v1/teams/{name}") | ("PATCH", "/api/v1/apps/{app}") => Scope::Admin,
        ("GET", "/apps/new") => Scope::Push,
        ("GET", _) => Scope::Read,
        ("POST", "/logout") => Scope::Read,
        ("POST", "/apps/new" | "/api/v1/apps" | "/apps/{app}/environments/{env}/remove") => Scope::Push,
        ("DELETE", "/api/v1/apps/{app}/environments/{env}") => Scope::Push,
        ("POST", "/apps/{app}/builds/{number}/cancel" | "/api/v1/apps/{app}/builds/{number}/cancel") => {
            Scope::Push
        }
        ("POST", "/apps/{app}/builds/{number}/rebuild" | "/api/v1/apps/{app}/builds/{number}/rebuild") => {
            Scope::Push
        }
        _ => panic!("say here which scope {method} {path} needs"),
    }
}

/// A token with what it is to be allowed, and how it is shown to the web.
struct Kind {
    token: Token,
    headers: Vec<(&'static str, String)>,
}

async fn kinds(db: &PgPool, apps: [Option<Uuid>; 3]) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for (scope, app_id) in Scope::ALL.iter().flat_map(|scope| apps.map(|app| (*scope, app))) {
        let name = format!("token {}", kinds.len());
        let new = NewToken { name: &name, scope, app_id, seconds: None, created_by: "a test" };
        let (_, secret) = store::token::create(db, &new).await.unwrap().unwrap();
        let token = store::token::verify(db, &secret).await.unwrap().unwrap();
        let authorization = vec![("authorization", format!("Bearer {secret}"))];
        kinds.push(Kind { token: token.clone(), headers: authorization });
        store::token::open_session(db, &token, &name.replace(' ', "-")).await.unwrap();
        let cookie = ("cookie", format!("slipway_session={}", name.replace(' ', "-")));
        kinds.push(Kind { token, headers: vec![cookie, ("sec-fetch-site", "same-origin".to_owned())] });
    }
    kinds
}

async fn ask(web: &Router, kind: &Kind, method: &Method, path: &str) -> (StatusCode, String) {
    let mut request = request(method.as_str(), path);
    for (name, value) in &kind.headers {
        request = request.header(*name, value);
    }
    // An empty form and an empty body change nothing.
    let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let (status, _, body) = send(web, request.body(Body::empty()).unwrap()).await;
    (status, body)
}

/// An application with an environment and a build that has ended, so that no stream goes on.
async fn with_build(db: &PgPool, name: &str) -> App {
    let mut conn = db.acquire().await.unwrap();
    let app = store::app::create(&mut conn, &NewApp::pushed(name, "main")).await.unwrap().unwrap();
    let build = pushed(db, &app, 'a').await;
    let reason = Reason::new(ReasonCode::StepFailed, "boom");
    assert!(store::build::fail(&mut conn, build.id, &reason).await.unwrap());
    let predicate = json!({"buildDefinition": {}});
    let attested =
        store::provenance::Attested { index_digest: "sha256:2", predicate: &predicate, bases: &[] };
    store::provenance::record(&mut conn, build.id, &attested).await.unwrap();
    store::build::record_image(&mut conn, &build, "registry/demo", "sha256:1", 7).await.unwrap();
    store::sbom::want(&mut conn, app.id, "sha256:1").await.unwrap();
    sqlx::query("update sbom set due_at = now() where due_at is not null").execute(db).await.unwrap();
    let wanted = store::sbom::begin(db).await.unwrap().unwrap();
    assert!(store::sbom::finish(db, &wanted, "{}").await.unwrap());
    let namespace = format!("env-{name}--main");
    let new = store::environment::NewEnvironment {
        app_id: app.id,
        branch_id: build.branch_id,
        name: "main",
        namespace: &namespace,
        ttl_seconds: None,
    };
    store::environment::ensure(&mut conn, &new).await.unwrap();
    app
}

/// A build secret and a build argument, to be unset.
async fn set(db: &PgPool, app: &App) {
    let which = store::setting::Which { app_id: app.id, name: "TOKEN", environment: None };
    store::setting::set_secret(db, &vault(), which, b"s3cr3t-value", "a test").await.unwrap();
    store::setting::set_argument(db, which, "1.2", "a test").await.unwrap();
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn every_route_asks_for_its_scope(db: PgPool) {
    let web = web(&db).await;
    let (own, other) = (with_build(&db, "own-app").await, with_build(&db, "other-app").await);
    let kinds = kinds(&db, [None, Some(own.id), Some(other.id)]).await;
    let mut cells = 0;
    for (method, path) in routes() {
        let needed = needed(&method, &path);
        let is_of_app = path.contains("{app}");
        for kind in &kinds {
            // A login that was ended by the request before.
            if path == "/logout" {
                continue;
            }
            let victim = NewToken {
                name: "victim",
                scope: Scope::Read,
                app_id: None,
                seconds: None,
                created_by: "a test",
            };
            let victim = store::token::create(&db, &victim).await.unwrap().map(|it| it.0);
            let victim = victim.unwrap_or_default().to_string();
            set(&db, &own).await;
            let (status, body) = ask(&web, kind, &method, &fill(&path, "own-app", &victim)).await;
            let what = format!("{method} {path} with {:?}: {status} {body}", kind.token);
            cells += 1;
            let is_foreign = kind.token.app_id == Some(other.id);
            let concerns_all = !is_of_app && needed > Scope::Read && kind.token.app_id.is_some();
            let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::METHOD_NOT_ALLOWED];
            if is_of_app && is_foreign {
                assert_eq!(status, StatusCode::NOT_FOUND, "{what}");
                let missing = ask(&web, kind, &method, &fill(&path, "nobody", &victim)).await;
                assert_eq!(
                    (status, body.replace("own-app", "nobody")),
                    missing,
                    "hidden is not there: {what}"
                );
            } else if kind.token.scope.0 < needed || concerns_all {
                assert_eq!(status, StatusCode::FORBIDDEN, "{what}");
            } else {
                assert!(!refused.contains(&status) && status != StatusCode::NOT_FOUND, "{what}");
                assert!(!status.is_server_error(), "{what}");
                assert!(!is_foreign || !body.contains("own-app"), "it shows another application: {what}");
            }
            if is_of_app && !is_foreign {
                let (status, _) = ask(&web, kind, &method, &fill(&path, "nobody", &victim)).await;
                assert_eq!(status, StatusCode::NOT_FOUND, "{what}");
            }
            let is_gone = store::token::find(&db, &victim).await.unwrap().is_none();
            assert_eq!(is_gone, path.contains("{id}") && status.as_u16() < 400, "{what}");
            store::token::revoke(&db, victim.parse().unwrap()).await.unwrap();
        }
    }
    assert!(cells > 400, "{cells}");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_has_no_rule_is_not_served(db: PgPool) {
    let web = web(&db).await;
    let admin = kinds(&db, [None; 3]).await.pop().unwrap();
    with_build(&db, "own-app").await;
    for (method, path) in [
        (Method::DELETE, "/api/v1/apps/own-app"),
        (Method::PUT, "/api/v1/apps"),
        (Method::POST, "/apps/own-app"),
        (Method::OPTIONS, "/"),
    ] {
        let (status, body) = ask(&web, &admin, &method, path).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}: {body}");
    }
    let (status, body) = ask(&web, &admin, &Method::HEAD, "/apps/own-app").await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, ""), "who may get may ask for the head");
    let encoded = ask(&web, &admin, &Method::GET, "/apps/own%2Dapp").await;
    assert_eq!(encoded.0, StatusCode::OK);
    let broken = ask(&web, &admin, &Method::GET, "/apps/%ff").await;
    assert_eq!(broken.0, StatusCode::BAD_REQUEST, "{}", broken.1);
    let nothing = ask(&web, &admin, &Method::GET, "/api/v1/nothing").await;
    assert_eq!(nothing.0, StatusCode::NOT_FOUND, "{}", nothing.1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_token_for_one_application_sees_one(db: PgPool) {
    let web = web(&db).await;
    let own = with_build(&db, "own-app").await;
    with_build(&db, "other-app").await;
    let kinds = kinds(&db, [Some(own.id), Some(own.id), None]).await;
    let (one, all) = (&kinds[0], kinds.last().unwrap());
    let names = |body: &str| -> Vec<String> {
        let apps: Value = serde_json::from_str(body).unwrap();
        apps["apps"].as_array().unwrap().iter().map(|app| app["name"].as_str().unwrap().to_owned()).collect()
    };
    let apps = ask(&web, one, &Method::GET, "/api/v1/apps").await.1;
    assert_eq!(names(&apps), ["own-app"]);
    assert_eq!(names(&ask(&web, all, &Method::GET, "/api/v1/apps").await.1), ["other-app", "own-app"]);
    let whoami: Value =
        serde_json::from_str(&ask(&web, one, &Method::GET, "/api/v1/whoami").await.1).unwrap();
    assert_eq!((&whoami["scope"], &whoami["app"]), (&json!("read"), &json!("own-app")));
    let home = ask(&web, one, &Method::GET, "/").await.1;
    assert!(
        !home.contains("other-app") && !home.contains("/apps/new") && !home.contains("/tokens"),
        "{home}"
    );
    let home = ask(&web, all, &Method::GET, "/").await.1;
    assert!(home.contains("/apps/new") && home.contains("/tokens"), "{home}");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn everybody_may_log_out(db: PgPool) {
    let web = web(&db).await;
    let app = with_build(&db, "own-app").await;
    for kind in kinds(&db, [None, Some(app.id), None]).await {
        let (status, body) = ask(&web, &kind, &Method::POST, "/logout").await;
        assert_eq!(status, StatusCode::SEE_OTHER, "{:?}: {body}", kind.token);
    }
}

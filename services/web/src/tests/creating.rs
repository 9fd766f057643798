//! Creating applications through the API and the form.

use super::*;

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_application_is_created_once(db: PgPool) {
    let web = web(&db).await;
    let (status, headers, body) = post_json(&web, "/api/v1/apps", &wanted()).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    assert_eq!(headers[header::LOCATION], "/api/v1/apps/demo");
    let created: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(created["app"]["default_branch"], "main");
    assert!(created["hook"]["url"].as_str().unwrap().starts_with("http://10.96.0.80/hooks/"));
    let secret = created["hook"]["secret"].as_str().unwrap().to_owned();
    assert_eq!(secret.len(), 64);
    assert_eq!(post_json(&web, "/api/v1/apps", &wanted()).await.0, StatusCode::CONFLICT);
    let resolves: i64 =
        sqlx::query_scalar("select count(*) from job where kind = 'resolve'").fetch_one(&db).await.unwrap();
    assert_eq!(resolves, 1, "a branch that is there builds at once");

    let pages = ["/", "/apps/demo", "/apps/demo/deliveries"];
    let answers =
        ["/apps", "/apps/demo", "/apps/demo/environments", "/apps/demo/releases", "/apps/demo/deliveries"];
    for path in pages.into_iter().map(str::to_owned).chain(answers.map(|path| format!("/api/v1{path}"))) {
        let (status, _, body) = get(&web, &path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        assert!(!body.contains(&secret) && !body.contains(FORGE_TOKEN), "{path}");
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_application_without_a_forge_is_pushed_here(db: PgPool) {
    let web = web(&db).await;
    let (status, _, body) = post_json(&web, "/api/v1/apps", &json!({"name": "demo"})).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    let created: Value = serde_json::from_str(&body).unwrap();
    let remote = "http://slipway.localhost:8080/demo.git";
    assert_eq!((&created["hook"], &created["remote"]), (&json!(null), &json!(remote)));
    assert_eq!(created["app"]["forge"], json!(null));
    let jobs: i64 = sqlx::query_scalar("select count(*) from job").fetch_one(&db).await.unwrap();
    assert_eq!(jobs, 0, "there is no forge to ask");
    assert_eq!(get_json(&web, "/api/v1/apps/demo").await["remote"], remote);
    let page = get(&web, "/apps/demo").await.2;
    assert!(page.contains(&format!("git remote add slipway {remote}\ngit push slipway main")), "{page}");
    assert!(!page.contains("/apps/demo/deliveries"), "{page}");
    for (body, field) in [
        (json!({"name": "shop", "forge": "gitea"}), "repo_url"),
        (json!({"name": "shop", "repo_url": "http://forge.example/s/h.git"}), "forge"),
        (json!({"name": "shop", "forge_token": "x"}), "forge_token"),
    ] {
        let (status, _, answer) = post_json(&web, "/api/v1/apps", &body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
        let problem: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(problem["errors"][0]["field"], field);
    }
    let app = store::app::by_name(&db, "demo").await.unwrap().unwrap();
    pushed(&db, &app, 'a').await;
    let page = get(&web, "/apps/demo").await.2;
    assert!(!page.contains("git remote add"), "it has a build: {page}");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_wrong_body_says_what_is_wrong(db: PgPool) {
    let web = web(&db).await;
    let mut bad = wanted();
    bad["repo_url"] = "ssh://forge/x".into();
    bad["port"] = 70_000.into();
    let (status, headers, body) = post_json(&web, "/api/v1/apps", &bad).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
    let problem: Value = serde_json::from_str(&body).unwrap();
    let fields: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|it| it["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["repo_url", "port"]);
    for (body, word) in [(json!({"forge": "gitea"}), "name"), (json!({"branch": "main"}), "branch")] {
        let (status, _, answer) = post_json(&web, "/api/v1/apps", &body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(answer.contains(word), "{answer}");
    }
}

fn filled_in(body: &str) -> Request<Body> {
    let mut request = form("POST", "/apps/new", body);
    request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {TOKEN}").parse().unwrap());
    request
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_form_is_shown_again_with_its_faults(db: PgPool) {
    let web = web(&db).await;
    let empty = get(&web, "/apps/new").await.2;
    assert!(empty.contains("<option value=\"\">Slipway itself (git push)</option><option>gitea"), "{empty}");
    let (status, _, page) = send(
        &web,
        filled_in(
            "name=Sh%3Cop&forge=gogs&repo_url=http%3A%2F%2Fforge%2Fa%2Fb.git&port=many&forge_token=t0ken",
        ),
    )
    .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.contains("value=\"Sh&#60;op\"") && page.contains("from 1 to 65535"), "{page}");
    assert!(page.contains("<option selected>gogs") && !page.contains("t0ken"), "{page}");

    let good = "name=shop&forge=gogs&repo_url=http%3A%2F%2Fforge%2Fa%2Fb.git&port=&default_branch=";
    let (status, _, page) = send(&web, filled_in(good)).await;
    assert_eq!(status, StatusCode::CREATED, "{page}");
    assert!(page.contains("http://10.96.0.80/hooks/") && page.contains("hook-secret"), "{page}");
    let (status, _, page) = send(&web, filled_in(good)).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(page.contains("of this name already"), "{page}");
    let (status, _, page) = send(&web, filled_in("name=here&forge=&repo_url=")).await;
    assert_eq!(status, StatusCode::CREATED, "{page}");
    assert!(page.contains("git push slipway main") && !page.contains("hook-secret"), "{page}");
}

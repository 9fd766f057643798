//! Build secrets and arguments through the API: written, listed, unset, and a secret's value in no answer.

use super::*;

async fn put(web: &Router, path: &str, value: &[u8]) -> Answer {
    send(web, bearer("PUT", path).body(Body::from(value.to_vec())).unwrap()).await
}

async fn delete(web: &Router, path: &str) -> Answer {
    send(web, bearer("DELETE", path).body(Body::empty()).unwrap()).await
}

async fn of_build(db: &PgPool, app: &App, environment: &str) -> store::setting::Settings {
    store::setting::of_build(db, &vault(), app.id, environment).await.unwrap()
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_secret_is_written_and_never_read(db: PgPool) {
    let web = web(&db).await;
    let demo = demo(&db).await;
    let binary = b"s3cr3t\0\xff\n";
    for (path, value) in
        [("TOKEN", &b"s3cr3t-value"[..]), ("TOKEN?env=staging", b"s3cr3t-staging"), ("npm.rc", binary)]
    {
        let (status, _, body) = put(&web, &format!("/api/v1/apps/demo/secrets/{path}"), value).await;
        assert_eq!((status, body.as_str()), (StatusCode::NO_CONTENT, ""), "{path}");
    }
    let listed = get_json(&web, "/api/v1/apps/demo/secrets").await;
    let secrets = listed["secrets"].as_array().unwrap();
    let names: Vec<_> = secrets.iter().map(|it| (it["name"].as_str().unwrap(), &it["environment"])).collect();
    assert_eq!(names, [("TOKEN", &json!(null)), ("TOKEN", &json!("staging")), ("npm.rc", &json!(null))]);
    assert_eq!(secrets[0]["set_by"], "bootstrap admin");
    assert!(!listed.to_string().contains("s3cr3t"), "{listed}");
    for path in ["/api/v1/apps/demo/secrets/TOKEN", "/api/v1/apps/demo/args/TOKEN"] {
        let (status, _, body) = get(&web, path).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{body}");
    }
    assert_eq!(of_build(&db, &demo, "main").await.redactor().redact("s3cr3t-value"), "[secret TOKEN]");
    assert_eq!(of_build(&db, &demo, "staging").await.redactor().redact("s3cr3t-staging"), "[secret TOKEN]");

    for (path, status) in [
        ("TOKEN?env=main", StatusCode::NOT_FOUND),
        ("TOKEN?env=staging", StatusCode::NO_CONTENT),
        ("TOKEN?env=staging", StatusCode::NOT_FOUND),
        ("TOKEN", StatusCode::NO_CONTENT),
        ("npm.rc", StatusCode::NO_CONTENT),
    ] {
        let answer = delete(&web, &format!("/api/v1/apps/demo/secrets/{path}")).await;
        assert_eq!(answer.0, status, "{path}: {}", answer.2);
    }
    assert!(of_build(&db, &demo, "staging").await.secrets.is_empty());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn arguments_are_listed_with_their_values(db: PgPool) {
    let web = web(&db).await;
    let demo = demo(&db).await;
    for (path, value) in [("VERSION", "1.2"), ("VERSION?env=main", "1.3"), ("EMPTY?env=", "")] {
        let (status, _, body) = put(&web, &format!("/api/v1/apps/demo/args/{path}"), value.as_bytes()).await;
        assert_eq!(status, StatusCode::NO_CONTENT, "{path}: {body}");
    }
    let listed = get_json(&web, "/api/v1/apps/demo/args").await;
    let args = listed["args"].as_array().unwrap();
    assert_eq!((&args[0]["name"], &args[0]["value"]), (&json!("EMPTY"), &json!("")));
    assert_eq!((&args[1]["environment"], &args[2]["environment"]), (&json!(null), &json!("main")));
    assert_eq!(of_build(&db, &demo, "main").await.args["VERSION"], "1.3");
    assert_eq!(of_build(&db, &demo, "other").await.args["VERSION"], "1.2");
    assert_eq!(get_json(&web, "/api/v1/apps/demo/secrets").await["secrets"], json!([]));
    let (status, _, body) = delete(&web, "/api/v1/apps/demo/args/EMPTY?env=%20").await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{body}");
    let (status, _, body) = delete(&web, "/api/v1/apps/demo/args/EMPTY").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body.contains("no build argument \\\"EMPTY\\\" for all environments"), "{body}");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_is_wrong_is_said_and_not_repeated(db: PgPool) {
    let web = web(&db).await;
    let demo = demo(&db).await;
    let long = vec![b'x'; (500 << 10) + 1];
    for (path, value, field) in [
        ("secrets/.x", &b"s3cr3t"[..], "name"),
        ("secrets/a%2Fb", b"s3cr3t", "name"),
        ("secrets/TOKEN?env=Not%20one", b"s3cr3t", "env"),
        ("secrets/TOKEN", b"abc", "value"),
        ("secrets/TOKEN", b" \n", "value"),
        ("secrets/TOKEN", &long, "value"),
        ("args/A-B", b"1", "name"),
        ("args/BUILDKIT_CACHE_MOUNT_NS", b"other", "name"),
        ("args/A", b"a\nb", "value"),
        ("args/A", b"\xff", "value"),
        ("args/A", &long[..4097], "value"),
    ] {
        let (status, _, body) = put(&web, &format!("/api/v1/apps/demo/{path}"), value).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path}: {body}");
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["errors"][0]["field"], field, "{path}: {body}");
        assert!(!body.contains("s3cr3t"), "{body}");
    }
    assert!(of_build(&db, &demo, "main").await.secrets.is_empty());
    let longest = &long[..500 << 10];
    assert_eq!(put(&web, "/api/v1/apps/demo/secrets/TOKEN", longest).await.0, StatusCode::NO_CONTENT);
}

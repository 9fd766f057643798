//! Builds, their logs and their releases, as pages and as JSON.

use domain::reason::{Reason, ReasonCode};

use super::*;

/// Strict pages: everything they load has a URL of ours.
fn assert_strict(path: &str, headers: &HeaderMap, page: &str) {
    let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    for inline in [" style=", "<style", "<script>", " onclick=", "javascript:"] {
        assert!(!page.contains(inline), "{path} holds {inline}");
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_live_build_and_the_failure_after_it(db: PgPool) {
    let web = web(&db).await;
    let app = demo(&db).await;
    let (build, job) = running(&db, &app, 'a').await;
    write(&db, &job, &build, 0, 3).await;
    live(&db, &released(&db, &app, &build, &job).await).await;

    let (second, job) = running(&db, &app, 'b').await;
    let release = released(&db, &app, &second, &job).await;
    let reason = Reason::new(ReasonCode::CrashedOnStart, "the container exited with 1")
        .with_lines(vec!["Error: no <DATABASE_URL>".into()]);
    assert!(store::release::fail(&mut db.acquire().await.unwrap(), release.id, &reason).await.unwrap());

    let one = get_json(&web, "/api/v1/apps/demo/builds/1").await;
    assert_eq!(
        (&one["state"], &one["status"], &one["release"]["state"]),
        (&json!("succeeded"), &json!("live"), &json!("live"))
    );
    assert_eq!(one["url"], "http://main--demo.slipway.localhost:8080");
    assert!(one["push_to_live_ms"].is_u64() && one["steps"][0]["state"] == "running", "{one:#}");
    let two = get_json(&web, "/api/v1/apps/demo/builds/2").await;
    assert_eq!(
        (&two["status"], &two["release"]["reason"]["code"]),
        (&json!("failed"), &json!("crashed_on_start"))
    );
    let envs = get_json(&web, "/api/v1/apps/demo/environments").await;
    assert_eq!(
        (&envs["environments"][0]["live"]["version"], &envs["environments"][0]["newest"]["version"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(get_json(&web, "/api/v1/apps/demo/releases").await["releases"][0]["build"], 2);

    for (path, words) in [
        ("/", &["demo", "v1", "failed"][..]),
        (
            "/apps/demo",
            &["main--demo.slipway", "The former version still serves", "#2 Say &#60;hello&#62;", "v2"],
        ),
        ("/apps/demo/builds/1", &["line 2 &#60;b&#62;", "npm ci", "Push to live", "/log.txt"]),
        (
            "/apps/demo/builds/2",
            &["exited with 1", "no &#60;DATABASE_URL&#62;", "Why the roll-out failed", "v1 serves"],
        ),
    ] {
        let (status, headers, page) = get(&web, path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {page}");
        assert_strict(path, &headers, &page);
        for word in words {
            assert!(page.contains(word), "{word:?} is not on {path}: {page}");
        }
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn superseded_builds_lead_to_the_newer_one(db: PgPool) {
    let web = web(&db).await;
    let app = demo(&db).await;
    for commit in ['a', 'b', 'c'] {
        pushed(&db, &app, commit).await;
    }
    let builds = get_json(&web, "/api/v1/apps/demo/builds?limit=2").await;
    let seen: Vec<_> = builds["builds"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["number"].as_i64().unwrap(), it["status"].as_str().unwrap()))
        .collect();
    assert_eq!(seen, [(3, "queued"), (2, "superseded")]);
    assert_eq!(builds["next"], 2);
    let rest = get_json(&web, "/api/v1/apps/demo/builds?before=2").await;
    assert_eq!((&rest["builds"][0]["superseded_by"], &rest["next"]), (&json!(2), &json!(null)));
    assert!(get(&web, "/apps/demo/builds/2").await.2.contains("href=\"/apps/demo/builds/3\""));
    assert!(get(&web, "/apps/demo?before=3").await.2.contains("Newest builds"));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_is_not_there_is_not_found(db: PgPool) {
    let web = web(&db).await;
    demo(&db).await;
    for path in ["/apps/nobody", "/apps/demo/builds/1", "/apps/demo/builds/x", "/nothing"] {
        let (status, headers, page) = get(&web, path).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert!(page.contains("All applications"), "{page}");
        assert_strict(path, &headers, &page);
    }
    for path in [
        "apps/nobody",
        "apps/demo/builds/1",
        "apps/demo/builds/x/log",
        "apps/demo/builds/9/events",
        "nothing",
    ] {
        let (status, headers, body) = get(&web, &format!("/api/v1/{path}")).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}: {body}");
        assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json", "{path}");
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_long_log_is_shown_from_its_end(db: PgPool) {
    let web = web(&db).await;
    let app = demo(&db).await;
    let (build, job) = running(&db, &app, 'a').await;
    for n in 0..100 {
        write(&db, &job, &build, n * 100, (n + 1) * 100).await;
    }
    let page = get(&web, "/apps/demo/builds/1").await.2;
    assert_eq!(page.matches("class=\"line\"").count(), 1000);
    assert!(page.contains("id=\"L10000\"") && !page.contains("id=\"L9000\""));
    assert!(
        page.contains("?from=8000") && page.contains("data-next=\"10000\"") && page.contains("data-events=")
    );
    let middle = get(&web, "/apps/demo/builds/1?from=500").await.2;
    assert!(
        middle.contains("id=\"L501\"") && middle.contains("?from=1500") && !middle.contains("data-events=")
    );

    let log = get_json(&web, "/api/v1/apps/demo/builds/1/log?from=9990&limit=5").await;
    assert_eq!(
        (log["lines"].as_array().unwrap().len(), &log["next"], &log["line_count"]),
        (5, &json!(9995), &json!(10_000))
    );
    assert_eq!(log["lines"][0]["text"], "line 9990 <b>");
}

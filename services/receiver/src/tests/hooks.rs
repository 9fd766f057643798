//! One delivery at a time: what is answered, what is stored, what is queued.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use sqlx::PgPool;
use tower::ServiceExt as _;
use uuid::Uuid;

use super::{COMMIT, count, demo, jobs, post, push_body, signature, signed};
use crate::hook;

/// Hook, verdict, why, key, event, ref, commit and size of the newest delivery.
type Stored = (
    Uuid,
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    i64,
    Vec<u8>,
);

async fn newest(db: &PgPool) -> Stored {
    let query = "select hook_id, verdict, why, delivery_key, event, ref, commit, body_bytes, body_sha256
        from delivery order by id desc limit 1";
    sqlx::query_as(query).fetch_one(db).await.unwrap()
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_accepted_push_is_stored_and_its_branch_queued(db: PgPool) {
    let (app, hook) = demo(&db).await;
    let body = push_body("feature/login");
    let sent = (signed("d1", &body), body.clone());
    let (status, answer) = post(&hook::router(db.clone()), &hook.id.to_string(), sent.0, sent.1).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_eq!(answer, serde_json::json!({ "verdict": "accepted", "why": null }));

    let (hook_id, verdict, why, key, event, git_ref, commit, size, sha256) = newest(&db).await;
    assert_eq!((hook_id, verdict.as_str(), why), (hook.id, "accepted", None));
    assert_eq!((key.as_deref(), event.as_deref()), (Some("d1"), Some("push")));
    assert_eq!((git_ref.as_deref(), commit.as_deref()), (Some("refs/heads/feature/login"), Some(COMMIT)));
    assert_eq!(size, body.len() as i64);
    assert_eq!(sha256, <sha2::Sha256 as sha2::Digest>::digest(&body).to_vec());

    let queued: (String, String, Uuid) = sqlx::query_as(
        "select j.kind, b.name, b.app_id from job j join branch b on b.id = j.subject where j.state = 'queued'",
    )
    .fetch_one(&db)
    .await
    .unwrap();
    assert_eq!(queued, ("resolve".to_owned(), "feature/login".to_owned(), app.id));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_bad_signature_is_refused_and_stored(db: PgPool) {
    let (_, hook) = demo(&db).await;
    let (router, id, body) = (hook::router(db.clone()), hook.id.to_string(), push_body("main"));
    let with = |value: Option<&str>| {
        let mut headers = signed("d1", &body);
        headers.remove("x-gitea-signature");
        if let Some(value) = value {
            headers.insert("x-gitea-signature", value.parse().unwrap());
        }
        headers
    };
    let mut changed = body.clone();
    changed[10] ^= 1;
    let good = signature(&body);
    let cases = [
        ("missing", with(None), &body),
        ("empty", with(Some("")), &body),
        ("wrong", with(Some(&"0".repeat(64))), &body),
        ("upper-case", with(Some(&good.to_uppercase())), &body),
        ("short", with(Some(&good[..62])), &body),
        ("with a prefix", with(Some(&format!("sha256={good}"))), &body),
        ("of another body", with(Some(&good)), &changed),
    ];
    for (case, headers, body) in cases {
        let (status, answer) = post(&router, &id, headers, body.clone()).await;
        assert_eq!(
            (status, &answer["verdict"]),
            (StatusCode::UNAUTHORIZED, &"bad signature".into()),
            "{case}"
        );
        let (hook_id, verdict, why, key, event, git_ref, commit, size, _) = newest(&db).await;
        assert_eq!(
            (hook_id, verdict.as_str(), size),
            (hook.id, "bad signature", body.len() as i64),
            "{case}"
        );
        assert_eq!(answer["why"].as_str(), why.as_deref(), "{case}");
        assert_eq!(
            (key, event, git_ref, commit),
            (None, None, None, None),
            "{case}: nothing unverified is kept"
        );
    }
    assert_eq!((count(&db, "select count(*) from delivery").await, jobs(&db).await), (7, 0));

    let (status, _) = post(&router, &id, with(Some(&good)), body.clone()).await;
    assert_eq!(status, StatusCode::ACCEPTED, "the refused ones did not use up the delivery's id");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_large_body_is_refused_and_stored(db: PgPool) {
    let (_, hook) = demo(&db).await;
    let router = hook::router(db.clone());
    let body = vec![b' '; 30_000_000];
    let (status, answer) = post(&router, &hook.id.to_string(), signed("d1", &body), body).await;
    assert_eq!((status, &answer["verdict"]), (StatusCode::PAYLOAD_TOO_LARGE, &"too large".into()));
    let (hook_id, verdict, _, _, _, _, _, size, _) = newest(&db).await;
    assert_eq!((hook_id, verdict.as_str(), size), (hook.id, "too large", 30_000_000));
    assert_eq!(jobs(&db).await, 0);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_unknown_hook_is_refused_and_stored(db: PgPool) {
    let (_, hook) = demo(&db).await;
    let router = hook::router(db.clone());
    let unknown = Uuid::new_v4();
    for (id, stored) in [(unknown.to_string(), unknown), ("nonsense".to_owned(), Uuid::nil())] {
        assert_ne!(stored, hook.id);
        let body = push_body("main");
        let (status, answer) = post(&router, &id, signed("d1", &body), body.clone()).await;
        assert_eq!((status, &answer["verdict"]), (StatusCode::NOT_FOUND, &"unknown hook".into()));
        let (hook_id, verdict, _, _, _, _, _, size, _) = newest(&db).await;
        assert_eq!((hook_id, verdict.as_str(), size), (stored, "unknown hook", body.len() as i64));
    }
    assert_eq!(jobs(&db).await, 0);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_redelivery_is_a_duplicate(db: PgPool) {
    let (_, hook) = demo(&db).await;
    let (router, id, body) = (hook::router(db.clone()), hook.id.to_string(), push_body("main"));
    assert_eq!(post(&router, &id, signed("d1", &body), body.clone()).await.0, StatusCode::ACCEPTED);
    let job = super::claim(&db, domain::job::JobKind::Resolve).await.unwrap();
    crate::finish(&db, &job, store::queue::Outcome::Done).await.unwrap();

    let (status, answer) = post(&router, &id, signed("d1", &body), body).await;
    assert_eq!((status, &answer["verdict"]), (StatusCode::OK, &"duplicate".into()));
    assert_eq!(newest(&db).await.1, "duplicate");
    assert_eq!(jobs(&db).await, 1, "nothing was queued for it");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_is_signed_but_not_understood_is_ignored(db: PgPool) {
    let (_, hook) = demo(&db).await;
    let router = hook::router(db.clone());
    let nul = br#"{"ref":"refs/heads/a\u0000b","after":"7f70ee95f145f093408f6cca6ad0709e1b21782a"}"#;
    for (key, body) in [("d1", b"not json".as_slice()), ("d2", b""), ("d3", b"{}"), ("d4", nul)] {
        let (status, answer) = post(&router, &hook.id.to_string(), signed(key, body), body.to_vec()).await;
        assert_eq!((status, &answer["verdict"]), (StatusCode::ACCEPTED, &"ignored".into()), "{key}");
        assert!(answer["why"].as_str().is_some_and(|why| !why.is_empty()), "{answer}");
        let (_, verdict, _, stored_key, ..) = newest(&db).await;
        assert_eq!((verdict.as_str(), stored_key.as_deref()), ("ignored", Some(key)));
    }
    assert_eq!(jobs(&db).await, 0);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_browser_is_told_what_the_address_is_for(db: PgPool) {
    let router = hook::router(db);
    let request = Request::get(format!("/hooks/{}", Uuid::nil())).body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers()["allow"], "POST");
    let text: Bytes = response.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&text).contains("webhook"));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_body_that_breaks_off_is_not_stored(db: PgPool) {
    let (_, hook) = demo(&db).await;
    let broken = Body::from_stream(tokio_util::io::ReaderStream::new(Broken));
    let (status, problem) =
        post(&hook::router(db.clone()), &hook.id.to_string(), HeaderMap::new(), broken).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{problem}");
    assert_eq!(count(&db, "select count(*) from delivery").await, 0);
}

/// A reader whose other end hung up.
struct Broken;

impl tokio::io::AsyncRead for Broken {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)))
    }
}

//! Traces as a collector gets them.

use serde_json::Value;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

/// A build of an application that waited a second, took two with one step of them, and was live after another one.
async fn live_build(db: &PgPool) {
    let statements = [
        "insert into app (id, name, default_branch) values (gen_random_uuid(), 'demo', 'main')",
        "insert into branch (id, app_id, name) select gen_random_uuid(), id, 'main' from app",
        "insert into push (id, branch_id, generation, commit) select gen_random_uuid(), id, 1, 'c0ffee' from branch",
        "insert into build (id, app_id, branch_id, push_id, number, branch, commit, environment, state, created_at, started_at, finished_at)
         select gen_random_uuid(), b.app_id, b.id, p.id, 1, 'main', 'c0ffee', 'main', 'succeeded',
             now() - interval '4 s', now() - interval '3 s', now() - interval '1 s'
         from branch b join push p on p.branch_id = b.id",
        "insert into step (build_id, number, attempt, name, started_at, completed_at)
         select id, 1, 1, '[1/1] RUN true', now() - interval '3 s', now() - interval '2 s' from build",
        "insert into environment (id, app_id, branch_id, name, namespace)
         select gen_random_uuid(), app_id, id, 'main', 'env-demo--main' from branch",
        "insert into release (id, environment_id, build_id, version, image, port, health_path, state, started_at)
         select gen_random_uuid(), e.id, b.id, 1, 'demo@sha256:1', 8080, '/', 'rolling', now() - interval '1 s'
         from environment e, build b",
    ];
    for statement in statements {
        sqlx::query(statement).execute(db).await.unwrap();
    }
}

async fn collected(server: &MockServer) -> Vec<Value> {
    let requests = server.received_requests().await.unwrap();
    requests.iter().map(|request| request.body_json().unwrap()).collect()
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_push_is_told_once_it_is_over_and_once(db: PgPool) {
    // Fails when another test was first, which does as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = MockServer::start().await;
    let (http, endpoint) = (Client::new(), server.uri());
    live_build(&db).await;
    send_due(&http, &endpoint, &db).await.unwrap();
    assert!(collected(&server).await.is_empty(), "it is being rolled out");

    sqlx::query("update release set state = 'live', finished_at = now()").execute(&db).await.unwrap();
    let away = send_due(&http, &endpoint, &db).await.unwrap_err().to_string();
    assert!(away.contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{away}");
    let taken = ResponseTemplate::new(200);
    Mock::given(method("POST")).and(path("/v1/traces")).respond_with(taken).mount(&server).await;
    for _ in 0..2 {
        send_due(&http, &endpoint, &db).await.unwrap();
    }
    let traces = collected(&server).await;
    assert_eq!(traces.len(), 2, "refused once, taken once");
    assert_eq!(traces[0], traces[1], "the same trace");
    let spans = traces[1]["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
    let names: Vec<_> = spans.iter().map(|span| span["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["push demo", "queue", "build", "[1/1] RUN true", "wait for the roll-out", "roll-out"]);
    let id: uuid::Uuid = sqlx::query_scalar("select id from build").fetch_one(&db).await.unwrap();
    assert!(spans.iter().all(|span| span["traceId"] == id.simple().to_string()), "{spans:#?}");
    let ns = |span: &Value, key: &str| span[key].as_str().unwrap().parse::<i128>().unwrap();
    let took_ms = (ns(&spans[0], "endTimeUnixNano") - ns(&spans[0], "startTimeUnixNano")) / 1_000_000;
    assert!(took_ms >= 4000, "from the push to live: {took_ms} ms");
    let build = spans.iter().find(|span| span["name"] == "build").unwrap();
    assert_eq!(spans[3]["parentSpanId"], build["spanId"]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_push_goes_on_from_the_trace_of_who_pushed(db: PgPool) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = MockServer::start().await;
    let taken = ResponseTemplate::new(200);
    Mock::given(method("POST")).and(path("/v1/traces")).respond_with(taken).mount(&server).await;
    live_build(&db).await;
    sqlx::query("update release set state = 'live', finished_at = now()").execute(&db).await.unwrap();
    let build: uuid::Uuid = sqlx::query_scalar("select id from build").fetch_one(&db).await.unwrap();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-";
    let go_on = async |flags: &str| {
        let mut conn = db.acquire().await.unwrap();
        traced::go_on(&mut conn, build, &format!("{parent}{flags}")).await.unwrap();
        drop(conn);
        send_due(&Client::new(), &server.uri(), &db).await.unwrap();
    };
    go_on("00").await;
    assert!(collected(&server).await.is_empty(), "whoever began the trace does not keep it");

    go_on("01").await;
    let traces = collected(&server).await;
    assert_eq!(traces.len(), 1);
    let spans = traces[0]["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
    assert!(spans.iter().all(|span| span["traceId"] == "0af7651916cd43dd8448eb211c80319c"), "{spans:#?}");
    assert_eq!(spans[0]["parentSpanId"], "b7ad6b7169203331");
    assert_eq!(spans[1]["parentSpanId"], spans[0]["spanId"]);
}

#[test]
fn spans_of_two_builds_in_one_trace_differ() {
    let [one, other] = [1_u128, 2].map(|half| {
        let now: Time = serde_json::from_str("\"2026-01-01T00:00:00Z\"").unwrap();
        Traced {
            id: uuid::Uuid::from_u128(half << 40),
            trace_parent: None,
            app: "demo".to_owned(),
            number: 1,
            branch: "main".to_owned(),
            commit: "c0ffee".to_owned(),
            environment: "main".to_owned(),
            state: "failed".to_owned(),
            release_state: None,
            why: None,
            created_at: now,
            started_at: Some(now),
            finished_at: now,
            roll_out_started_at: None,
            roll_out_finished_at: None,
        }
    });
    let ids = |build: &Traced| spans(build, &[], None).iter().map(|span| span.id).collect::<Vec<_>>();
    assert_eq!(ids(&one).len(), 3);
    assert!(ids(&one).iter().all(|id| !ids(&other).contains(id)), "{:?} {:?}", ids(&one), ids(&other));
}

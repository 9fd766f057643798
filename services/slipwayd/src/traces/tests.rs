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

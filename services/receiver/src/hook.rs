//! `POST /hooks/{id}`: a delivery is verified over its raw bytes, stored with its verdict and answered.
//!
//! It is only a hint that a branch may have moved: what is queued is the question, not the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use domain::job::JobKind;
use domain::verdict::Verdict;
use host::Problem;
use host::trace::parent::{self, Parent};
use sqlx::PgPool;
use store::app::{App, Hook};
use store::delivery::NewDelivery;
use uuid::Uuid;

use crate::body::{self, BODY_MAX, Memory, Received};
use crate::judge::{Judged, judge};

/// Refused deliveries come from anybody. Each one is stored, and the oldest go after so many.
const FORGET_EVERY: u64 = 100;

const NOT_A_POST: &str = "This is a webhook's address. Set it as the target URL of a webhook on the forge, \
    with content type application/json and the secret that was shown when the application was created.\n";

#[derive(Clone, Debug)]
pub(crate) struct Hooks {
    db: PgPool,
    memory: Memory,
    refused: Arc<AtomicU64>,
}

pub(crate) fn router(db: PgPool) -> Router {
    let hooks = Hooks { db, memory: Memory::new(), refused: Arc::default() };
    Router::new().route("/hooks/{id}", post(deliver).fallback(not_a_post)).with_state(hooks)
}

async fn not_a_post() -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "POST")], NOT_A_POST).into_response()
}

async fn deliver(
    State(hooks): State<Hooks>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let hook_id = Uuid::try_parse(&id).unwrap_or(Uuid::nil());
    let known = find(&hooks.db, hook_id).await?;
    let keep_max = if known.is_some() { BODY_MAX } else { 0 };
    let received = body::read(body, keep_max, &hooks.memory).await?;
    let judged = judge(known.as_ref(), &headers, &received);
    let app_id = known.map(|(_, app)| app.id);
    // Of no stranger. The signature leaves headers out, so this one is told on, and nothing depends on it.
    let trace_parent = parent::of(&headers).filter(|_| judged.verdict == Verdict::Accepted);
    let verdict = record(&hooks.db, hook_id, app_id, &judged, &received, trace_parent).await?;
    match verdict {
        Verdict::Accepted => store::worker::wake(&hooks.db, &[JobKind::Resolve]).await,
        Verdict::Ignored => {}
        Verdict::Duplicate | Verdict::BadSignature | Verdict::TooLarge | Verdict::UnknownHook => {
            forget_now_and_then(&hooks).await?;
        }
    }
    tracing::info!(hook.id = %hook_id, %verdict, body_bytes = received.size, "delivery");
    Ok(answer(verdict, judged.why))
}

async fn find(db: &PgPool, hook_id: Uuid) -> anyhow::Result<Option<(Hook, App)>> {
    let Some(hook) = store::app::hook(db, hook_id).await? else { return Ok(None) };
    Ok(store::app::get(db, hook.app_id).await?.map(|app| (hook, app)))
}

/// Stores the delivery and, when it is accepted, the question what its branch is now: both or neither.
async fn record(
    db: &PgPool,
    hook_id: Uuid,
    app_id: Option<Uuid>,
    judged: &Judged,
    received: &Received,
    trace_parent: Option<Parent>,
) -> anyhow::Result<Verdict> {
    let trace_parent = trace_parent.map(|it| it.to_string());
    let delivery = NewDelivery {
        hook_id,
        app_id,
        delivery_key: judged.delivery_key.as_deref(),
        event: judged.event.as_deref(),
        verdict: judged.verdict,
        why: judged.why.as_deref(),
        reference: judged.git_ref.as_deref(),
        commit: judged.commit.as_deref(),
        body_sha256: Some(&received.sha256),
        body_bytes: i64::try_from(received.size)?,
        trace_parent: trace_parent.as_deref(),
    };
    let mut tx = db.begin().await?;
    let verdict = store::delivery::record(&mut tx, &delivery).await?;
    if let (Verdict::Accepted, Some(app_id), Some(branch)) = (verdict, app_id, &judged.branch) {
        let branch = store::branch::touch(&mut tx, app_id, branch).await?;
        store::branch::enqueue_resolve(&mut tx, branch.id).await?;
    }
    tx.commit().await?;
    Ok(verdict)
}

async fn forget_now_and_then(hooks: &Hooks) -> anyhow::Result<()> {
    if hooks.refused.fetch_add(1, Ordering::Relaxed).is_multiple_of(FORGET_EVERY) {
        store::delivery::forget_refused(&hooks.db).await?;
    }
    Ok(())
}

fn answer(verdict: Verdict, why: Option<String>) -> Response {
    let (status, why) = match verdict {
        Verdict::Accepted | Verdict::Ignored => (StatusCode::ACCEPTED, why),
        Verdict::Duplicate => (StatusCode::OK, Some("a delivery with this id was taken before".to_owned())),
        Verdict::BadSignature => (StatusCode::UNAUTHORIZED, why),
        Verdict::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, why),
        Verdict::UnknownHook => (StatusCode::NOT_FOUND, why),
    };
    (status, Json(serde_json::json!({ "verdict": verdict, "why": why }))).into_response()
}

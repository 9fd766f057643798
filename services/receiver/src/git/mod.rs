//! Slipway's own git remote: smart HTTP at `/<application>.git`. What is not plainly good git itself judges, in a child
//! process; policy, the point from which a push is never lost, and the stream of its build are here.
//!
//! A push is written down in PostgreSQL (the intent), taken into a hidden ref (the pin), and one transaction makes a
//! build of it. What clients see as `refs/heads/*` is made from `branch.head`. [`reconcile`] repairs what a crash left.

mod accept;
mod advertise;
mod auth;
mod child;
mod decide;
pub(crate) mod follow;
pub(crate) mod measure;
pub(crate) mod narrate;
mod pack;
pub(crate) mod policy;
mod receive;
pub(crate) mod reconcile;
mod settle;
mod stream;
mod take;
mod upload;
mod wire;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use gitrepo::bare::{Repositories, Repository};
use host::failures::Failures;
use sqlx::PgPool;
use store::rings::Rings;
use tokio::sync::{Mutex, MutexGuard, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::status::Links;

/// Pushes whose pack is being read; more wait.
const RECEIVING_MAX: usize = 8;
/// Applications share so many locks.
const LOCKS: usize = 64;

#[derive(Debug)]
pub(crate) struct Git {
    pub(crate) db: PgPool,
    pub(crate) repositories: Repositories,
    pub(crate) rings: Rings,
    pub(crate) links: Links,
    pub(crate) pack_max_bytes: u64,
    pub(crate) shutdown: CancellationToken,
    /// What goes on when its request is gone.
    pub(crate) tasks: TaskTracker,
    failures: Failures,
    receiving: Semaphore,
    /// Who writes refs of a repository holds its lock. Not needed for a push's own pin, whose name is its own.
    locks: [Mutex<()>; LOCKS],
}

impl Git {
    pub(crate) fn new(
        db: PgPool,
        repositories: Repositories,
        links: Links,
        pack_max_bytes: u64,
        shutdown: CancellationToken,
    ) -> Arc<Git> {
        Arc::new(Git {
            db,
            repositories,
            rings: Rings::new(),
            links,
            pack_max_bytes,
            shutdown,
            tasks: TaskTracker::new(),
            failures: Failures::default(),
            receiving: Semaphore::new(RECEIVING_MAX),
            locks: std::array::from_fn(|_| Mutex::new(())),
        })
    }

    async fn lock(&self, app: Uuid) -> MutexGuard<'_, ()> {
        let index = usize::from(app.as_bytes()[15]) % LOCKS;
        self.locks[index].lock().await
    }

    /// Makes `refs/heads/*` what the database says.
    async fn project(&self, app: Uuid, repository: &Repository) -> anyhow::Result<()> {
        let _lock = self.lock(app).await;
        let heads = store::branch::heads(&self.db, app).await?;
        let heads = heads
            .into_iter()
            .map(|(name, head)| Ok((name, Some(domain::commit::Commit::parse(&head)?))))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let repository = repository.clone();
        tokio::task::spawn_blocking(move || repository.project(&heads)).await??;
        Ok(())
    }
}

pub(crate) fn router(git: Arc<Git>) -> Router {
    Router::new()
        .route("/{repository}/info/refs", get(advertise::advertise))
        .route("/{repository}/git-receive-pack", post(receive::receive))
        .route("/{repository}/git-upload-pack", post(upload::upload))
        .route("/{repository}/pack", get(pack::pack))
        .route("/{repository}/info/lfs/{*rest}", any(lfs))
        .with_state(git)
}

/// Git LFS asks before each push whether locks are there: without an answer in its own words the push would die.
async fn lfs() -> Response {
    let words =
        serde_json::json!({"message": "Slipway does not store Git LFS objects: commit the files themselves"});
    let kind = [(axum::http::header::CONTENT_TYPE, "application/vnd.git-lfs+json")];
    (StatusCode::NOT_IMPLEMENTED, kind, words.to_string()).into_response()
}

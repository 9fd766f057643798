//! A branch that moved: the push, its build and the jobs, in one transaction.

use std::time::Duration;

use anyhow::Result;
use domain::job::JobKind;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::branch::{self, Branch};
use crate::build::{self, Build};
use crate::queue::{NewJob, enqueue, enqueue_after};

const PROGRESS_DELAY: Duration = Duration::from_secs(1);

/// Records that `from` is now `commit`: moves the branch, supersedes its queued builds, creates the build and queues it.
/// `None`: the branch was moved meanwhile by somebody else, and nothing was recorded.
/// Wake [`JobKind::Build`] and [`JobKind::Report`] after the commit.
pub async fn record(conn: &mut PgConnection, from: &Branch, commit: &str) -> Result<Option<Build>> {
    if !branch::move_to(conn, from, Some(commit)).await? {
        return Ok(None);
    }
    let push_id = Uuid::now_v7();
    sqlx::query("insert into push (id, branch_id, generation, commit) values ($1, $2, $3, $4)")
        .bind(push_id)
        .bind(from.id)
        .bind(from.generation + 1)
        .bind(commit)
        .execute(&mut *conn)
        .await?;
    let build = build::create(conn, from, push_id, commit).await?;
    // One lane per branch: the newest commit waits. One lock per application: its builds share a source directory
    // in BuildKit, and two at once would transfer everything twice.
    let (lane, lock_key) = (from.id.to_string(), from.app_id.to_string());
    enqueue(conn, NewJob { kind: JobKind::Build, lane: &lane, lock_key: &lock_key, subject: build.id })
        .await?;
    // After the lane is locked: a builder that ends a build locks them in this order.
    for superseded in build::supersede_queued(conn, &build).await? {
        enqueue_report(conn, superseded).await?;
    }
    enqueue_progress_report(conn, build.id).await?;
    Ok(Some(build))
}

/// Queues telling the forge how a build stands, now that it has ended.
pub async fn enqueue_report(conn: &mut PgConnection, build_id: Uuid) -> Result<()> {
    report_after(conn, build_id, Duration::ZERO).await
}

/// Queues telling the forge that a build goes on. Not at once: most are live before a forge could show it, and a
/// later state takes the place of this one.
pub async fn enqueue_progress_report(conn: &mut PgConnection, build_id: Uuid) -> Result<()> {
    report_after(conn, build_id, PROGRESS_DELAY).await
}

async fn report_after(conn: &mut PgConnection, build_id: Uuid, delay: Duration) -> Result<()> {
    let key = build_id.to_string();
    let job = NewJob { kind: JobKind::Report, lane: &key, lock_key: &key, subject: build_id };
    enqueue_after(conn, job, delay).await?;
    Ok(())
}

//! Building a commit again because somebody asks for it: its secrets or settings are others now, or its cache is doubted.

use anyhow::{Context as _, Result};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Build, NewBuild, in_flight, newest};
use crate::queue::Priority;
use crate::{branch, push};

/// What became of the wish.
#[derive(Debug)]
pub enum Rebuilt {
    /// Queued behind whatever somebody waits for.
    Queued(Box<Build>),
    /// The branch's newest build, which was asked for or took its place, has not settled.
    UnderWay(i32),
    /// Building an older commit would take the branch back to it.
    Older { newest: i32 },
    /// The branch is gone, or is another commit that has no build yet.
    Moved,
}

/// Queues the commit of `build` for the environment that it was for. Wake [`domain::job::JobKind::Build`] and
/// [`domain::job::JobKind::Report`] after the commit.
pub async fn ask(conn: &mut PgConnection, build: &Build, by: &str, no_cache: bool) -> Result<Rebuilt> {
    let branch = branch::lock(conn, build.branch_id).await?;
    let newest = newest(conn, branch.id).await?.context("a branch of a build has no build")?;
    if newest.commit != build.commit {
        return Ok(Rebuilt::Older { newest: newest.number });
    }
    if branch.commit.as_ref() != Some(&build.commit) {
        return Ok(Rebuilt::Moved);
    }
    if !newest.state.0.is_final() || in_flight(conn, branch.id).await?.is_some() {
        return Ok(Rebuilt::UnderWay(newest.number));
    }
    let new = NewBuild {
        push_id: Uuid::now_v7(),
        commit: &build.commit,
        pusher: Some(by),
        rebuild_of: Some(build.number),
        environment: &build.environment,
        no_cache,
        ttl_seconds: build.ttl_seconds,
    };
    let queued = push::write(conn, &branch, &new, Priority::Rebuild).await?;
    Ok(Rebuilt::Queued(Box::new(queued.context("a branch moved although it is locked")?)))
}

#[cfg(test)]
mod tests;

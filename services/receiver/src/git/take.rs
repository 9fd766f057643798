//! How a push gets into its repository: a small one that is plainly good is taken here, any other is given to git. The
//! intent is written down meanwhile. From then on a task of its own goes on, whether or not the client stays
//! ([`super::settle`]).

use anyhow::Result;
use axum::body::{BodyDataStream, Bytes};
use domain::commit::Commit;
use futures::StreamExt as _;
use gitrepo::bare::{self, Staged};
use gitwire::request::Update;
use store::push::Intent;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin};

use super::auth::Refusal;
use super::settle::{self, Push};
use super::wire::Wire;
use super::{Git, child};

/// Who takes a push.
#[derive(Debug)]
pub(super) enum Taker {
    /// It is on the disk already, and was judged.
    Here(Staged),
    Git(Child),
}

/// `pack`: what was read of it, and the rest. The task that takes the push is started before a large pack is sent: a
/// client that goes away takes only this request with it.
pub(super) async fn take(
    push: Push,
    shallow: &[Commit],
    updates: &[Update],
    pack: (Vec<u8>, BodyDataStream),
    wire: Wire,
) -> Result<(), Refusal> {
    let (mut read, mut body) = pack;
    let git = push.git.clone();
    let is_small = read_small(&git, &mut read, &mut body).await;
    let read = Bytes::from(read);
    let begin = async {
        if is_small
            && shallow.is_empty()
            && let Some(staged) = stage(&push, updates, read.clone()).await?
        {
            return Ok((Taker::Here(staged), None));
        }
        let mut child = push.repository.receive_pack(git.pack_max_bytes)?;
        let mut stdin = child.stdin.take().ok_or_else(|| anyhow::anyhow!("git has no input"))?;
        // A child that has died says why in its answer.
        stdin.write_all(&child::commands(shallow, updates)).await.ok();
        anyhow::Ok((Taker::Git(child), Some(stdin)))
    };
    let (intended, begun) = tokio::join!(intend(&push), begin);
    let (taker, stdin) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            if intended.is_ok()
                && let Some((id, ..)) = push.pushed.build()
            {
                settle::abort(&git, id, &format!("{error:#}")).await?;
            }
            return Err(error.into());
        }
    };
    if let Err(error) = intended {
        // Without the rest of its input git ends by itself, and takes its quarantine along.
        drop(stdin);
        if let Taker::Git(mut child) = taker {
            git.tasks.spawn(async move { child.wait().await });
        }
        return Err(error.into());
    }
    git.tasks.spawn(settle::settle(push, Some(taker), wire));
    if let Some(stdin) = stdin {
        pump(&git, stdin, read, body).await;
    }
    Ok(())
}

/// Reads a small pack to its end; of a large one only the beginning.
async fn read_small(git: &Git, read: &mut Vec<u8>, body: &mut BodyDataStream) -> bool {
    let max = usize::try_from(git.pack_max_bytes).unwrap_or(usize::MAX).min(bare::PACK_MAX);
    while read.len() <= max {
        match body.next().await {
            Some(Ok(chunk)) => read.extend_from_slice(&chunk),
            Some(Err(_)) => return false,
            None => return true,
        }
    }
    false
}

/// `None`: there is more to it than one new commit. What could not be tried, for want of room on the disk as well, git
/// tries again and finds words for.
async fn stage(push: &Push, updates: &[Update], pack: Bytes) -> Result<Option<Staged>> {
    let ([_], Some((.., new))) = (updates, push.pushed.build()) else { return Ok(None) };
    let (repository, new) = (push.repository.clone(), new.clone());
    let staged = tokio::task::spawn_blocking(move || repository.stage(&pack, &new)).await?;
    Ok(staged.unwrap_or_else(|error| {
        tracing::debug!(push.app.name, "a push is left to git: {error}");
        None
    }))
}

async fn intend(push: &Push) -> Result<()> {
    let Some((id, branch, old, new)) = push.pushed.build() else { return Ok(()) };
    let intent = Intent {
        id,
        app_id: push.app.id,
        branch,
        old: old.map(Commit::as_str),
        new: new.as_str(),
        pusher: &push.pusher,
        options: &push.options,
    };
    let mut conn = push.git.db.acquire().await?;
    store::push::begin(&mut conn, &intent).await?;
    if let Some(parent) = push.trace_parent {
        store::traced::go_on(&mut conn, id, &parent.to_string()).await?;
    }
    Ok(())
}

/// Sends the pack on. When git has stopped reading, the rest is read all the same: a client that cannot send its push to
/// the end never hears what was wrong with it. A pack that is cut off ends git's input early, and git refuses it.
async fn pump(git: &Git, stdin: ChildStdin, read: Bytes, mut body: BodyDataStream) {
    let mut stdin = Some(stdin);
    let mut next = Some(Ok(read));
    let mut size: u64 = 0;
    while let Some(Ok(chunk)) = next {
        size += chunk.len() as u64;
        if let Some(input) = &mut stdin
            && input.write_all(&chunk).await.is_err()
        {
            stdin = None;
        }
        if size > git.pack_max_bytes.saturating_mul(4) {
            return;
        }
        next = body.next().await;
    }
}

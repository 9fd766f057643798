//! Repairs what crashes leave between git and PostgreSQL: at the start, before anything is served, and each minute.
//!
//! A pin without a decided push is rolled forward, an intent without a pin is given up, heads are projected again, pins
//! that nothing needs any more are deleted. One application that cannot be repaired does not keep the others from it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use domain::commit::Commit;
use domain::push_options::PushOptions;
use domain::state::PushState;
use gitrepo::bare::{Pin, Repository};
use store::push::Intent;
use uuid::Uuid;

use super::Git;
use super::accept::{self, Settled};
use super::measure::measure;

const EVERY: Duration = Duration::from_secs(60);
const ASK_AGAIN: Duration = Duration::from_millis(500);
const MAINTAIN_EVERY: Duration = Duration::from_secs(600);
/// An intent that nobody has renewed for so long is nobody's: four renewals were missed.
const FORGOTTEN_SECONDS: i64 = 60;

/// Nothing of a former process is being received any more: this one holds the lock of the repositories.
pub(crate) async fn at_start(git: &Git) -> Result<()> {
    for app in git.repositories.all()? {
        let repository = git.repositories.repository(app);
        let cleaning = repository.clone();
        match tokio::task::spawn_blocking(move || cleaning.clean()).await? {
            Ok(0) => {}
            Ok(removed) => tracing::warn!(%app, "removed {removed} files that killed git processes left"),
            Err(error) => tracing::error!(%app, "cleaning a repository: {error}"),
        }
        // What a push left is settled before its user tries again. Without a database nobody could push anyway.
        while !isolated(git, app, &repository, 0).await && !git.shutdown.is_cancelled() {
            if store::answers(&git.db).await {
                break;
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }
    Ok(())
}

async fn isolated(git: &Git, app: Uuid, repository: &Repository, seconds: i64) -> bool {
    let reconciled = reconcile(git, app, repository, seconds).await;
    if let Err(error) = &reconciled {
        tracing::error!(%app, "reconciling a repository: {error:#}");
    }
    reconciled.is_ok()
}

/// Until shutdown.
pub(crate) async fn run(git: Arc<Git>) -> Result<()> {
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = git.shutdown.cancelled() => return Ok(()),
        }
        for app in git.repositories.all()? {
            let repository = git.repositories.repository(app);
            isolated(&git, app, &repository, FORGOTTEN_SECONDS).await;
        }
    }
}

/// Packs repositories that have grown many packs, one at a time, and measures them all, until shutdown. Apart from
/// repairing: it may take long.
pub(crate) async fn maintain(git: Arc<Git>) -> Result<()> {
    loop {
        tokio::select! {
            () = tokio::time::sleep(MAINTAIN_EVERY) => {}
            () = git.shutdown.cancelled() => return Ok(()),
        }
        for app in git.repositories.all()? {
            let maintaining = git.repositories.repository(app);
            tokio::select! {
                maintained = maintaining.maintain() => if let Err(error) = maintained {
                    tracing::warn!(%app, "packing a repository: {error}");
                },
                () = git.shutdown.cancelled() => return Ok(()),
            }
        }
        if git.shutdown.run_until_cancelled(measure(&git)).await.is_none() {
            return Ok(());
        }
    }
}

async fn reconcile(git: &Git, app: Uuid, repository: &Repository, seconds: i64) -> Result<()> {
    if store::app::get(&git.db, app).await?.is_none() {
        // Deleted; its repository is kept for whoever restores the row.
        return Ok(());
    }
    let pins = pins(repository).await?;
    let ids: Vec<Uuid> = pins.iter().map(|pin| pin.push).collect();
    let states: HashMap<Uuid, PushState> =
        store::push::states(&git.db, &ids).await?.into_iter().map(|(id, state)| (id, state.0)).collect();
    let (newest, older) = unwritten(&pins, &states);
    for pin in newest {
        recreate(git, app, pin).await?;
    }
    for push in store::push::forgotten(&git.db, app, seconds).await? {
        decide(git, repository, &push, ids.contains(&push.id)).await?;
    }
    git.project(app, repository).await?;
    let needless: HashSet<Uuid> = store::push::needless(&git.db, &ids).await?.into_iter().collect();
    let is_needless = |pin: &&Pin| needless.contains(&pin.push) || older.contains(&pin.push);
    delete(repository, pins.iter().filter(is_needless).cloned().collect()).await
}

/// Of a push that nobody is receiving any more.
async fn decide(git: &Git, repository: &Repository, push: &store::push::Push, is_pinned: bool) -> Result<()> {
    let why = if store::push::is_overtaken(&git.db, push).await? {
        // Nobody waits for it any more, and it would take the place of what its user pushed since.
        "a later push of the branch was accepted meanwhile"
    } else if is_pinned {
        let commit = Commit::parse(&push.commit)?;
        let settled = accept::settle(git, repository, push.id, &commit).await?;
        tracing::warn!(%push.id, push.commit, "rolled forward: {}", name_of(&settled));
        return Ok(());
    } else {
        "the receiver was lost before git had taken the push"
    };
    store::push::end(&mut *git.db.acquire().await?, push.id, PushState::Aborted, Some(why)).await?;
    Ok(())
}

async fn pins(repository: &Repository) -> Result<Vec<Pin>> {
    let repository = repository.clone();
    Ok(tokio::task::spawn_blocking(move || repository.pins()).await??)
}

async fn delete(repository: &Repository, pins: Vec<Pin>) -> Result<()> {
    let repository = repository.clone();
    Ok(tokio::task::spawn_blocking(move || repository.delete_pins(&pins)).await??)
}

/// Pins whose rows are gone: the database was restored from before them. Of each branch only the newest is built; ids are
/// in the order of time. Answers the newest ones and the ids of all others.
fn unwritten<'a>(pins: &'a [Pin], states: &HashMap<Uuid, PushState>) -> (Vec<&'a Pin>, HashSet<Uuid>) {
    let mut newest: HashMap<&str, &Pin> = HashMap::new();
    let mut older = HashSet::new();
    for pin in pins.iter().filter(|pin| !states.contains_key(&pin.push)) {
        match newest.insert(&pin.branch, pin) {
            Some(other) if other.push > pin.push => {
                older.insert(pin.push);
                newest.insert(&pin.branch, other);
            }
            Some(other) => {
                older.insert(other.push);
            }
            None => {}
        }
    }
    (newest.into_values().collect(), older)
}

/// As if the client had seen the branch as it is now.
async fn recreate(git: &Git, app: Uuid, pin: &Pin) -> Result<()> {
    tracing::warn!(%pin.push, pin.branch, commit = %pin.commit, "a push that the database does not know is written down again");
    let branch = store::branch::by_name(&git.db, app, &pin.branch).await?;
    let intent = Intent {
        id: pin.push,
        app_id: app,
        branch: &pin.branch,
        old: branch.as_ref().and_then(|branch| branch.head.as_deref()),
        new: pin.commit.as_str(),
        pusher: "reconciler",
        options: &PushOptions { supersede: true, ..PushOptions::default() },
    };
    store::push::begin(&mut *git.db.acquire().await?, &intent).await
}

const fn name_of(settled: &Settled) -> &'static str {
    match settled {
        Settled::Queued(_) => "queued",
        Settled::Attached(_) => "attached",
        Settled::Live(_) => "live",
        Settled::Rejected(_) => "rejected",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_pins_that_nobody_knows_each_branch_s_newest_counts() {
        let pin = |push: u128, branch: &str| Pin {
            push: Uuid::from_u128(push),
            branch: branch.to_owned(),
            commit: Commit::parse(&"a".repeat(40)).unwrap(),
        };
        let pins = [pin(1, "main"), pin(3, "main"), pin(2, "main"), pin(4, "known"), pin(5, "other")];
        let states = HashMap::from([(Uuid::from_u128(4), PushState::Accepted)]);
        let (newest, older) = unwritten(&pins, &states);
        let mut newest: Vec<u128> = newest.iter().map(|pin| pin.push.as_u128()).collect();
        newest.sort_unstable();
        let mut older: Vec<u128> = older.iter().map(|id| id.as_u128()).collect();
        older.sort_unstable();
        assert_eq!((newest, older), (vec![3, 5], vec![1, 2]));
    }
}

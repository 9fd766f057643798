//! Users who push to Slipway's own remote, the receiver that takes what they push, and its reconciler.

use anyhow::{Context as _, Result};
use domain::push_options::PushOptions;
use domain::state::PushState;
use rand::Rng as _;
use sqlx::PgPool;
use store::push::Intent;
use uuid::Uuid;

use super::world::{self, World, attempt, say};

/// As in the receiver.
const FORGOTTEN_SECONDS: i64 = 60;

/// A push that is being received, or was when its receiver died.
#[derive(Debug, Clone)]
pub struct OpenPush {
    pub id: Uuid,
    pub commit: String,
    /// Git has taken it.
    pub is_pinned: bool,
}

/// A user pushes: the intent, and then git takes it, or the receiver dies before.
pub async fn push(world: &mut World<'_>, branch: usize) -> Result<()> {
    let repeats = world.branches[branch].commits > 0 && world.rng.random_ratio(1, 5);
    if !repeats {
        world.branches[branch].commits += 1;
    }
    let of = &world.branches[branch];
    let (app_id, name, number) = (world.apps[of.app].id, of.name, of.commits);
    let (id, new) = (Uuid::now_v7(), world::commit(branch, number));
    let (db, commit) = (world::db(world), new.clone());
    let begin = async move {
        let options = PushOptions { supersede: true, ..PushOptions::default() };
        let intent =
            Intent { id, app_id, branch: name, old: None, new: &new, pusher: "p", options: &options };
        store::push::begin(&mut *db.acquire().await?, &intent).await
    };
    let what = format!("commit {number} is pushed to branch {branch}");
    let is_pinned = attempt(world, what, begin).await?.is_some() && world.rng.random_ratio(9, 10);
    world.open.push(OpenPush { id, commit: commit.clone(), is_pinned });
    Ok(())
}

/// The receiver decides on an open push. A user whose push fails is told nothing; the reconciler finds it.
pub async fn settle(world: &mut World<'_>, index: usize) -> Result<()> {
    let push = world.open.swap_remove(index);
    if !push.is_pinned {
        // Its receiver is dead.
        world.open.push(push);
        return Ok(());
    }
    let what = format!("the push of {} is decided", short(&push.commit));
    match attempt(world, what, decide(world::db(world), push.id)).await? {
        Some(Some(build)) => {
            say(world, format_args!("  it is build {build}"));
            world.told.push(push.id);
        }
        Some(None) => {}
        None => world.open.push(push),
    }
    Ok(())
}

/// The number of the build that the push became.
async fn decide(db: PgPool, push: Uuid) -> Result<Option<i32>> {
    let mut tx = db.begin().await?;
    let held = store::push::hold(&mut tx, push).await?.context("the push was never written down")?;
    if held.push.state.0 != PushState::Receiving {
        tx.rollback().await?;
        return Ok(None);
    }
    let running = held.in_flight.as_ref();
    let is_known = running.is_some_and(|build| build.commit == held.push.commit)
        || (running.is_none() && held.live.is_some());
    let build = if is_known {
        store::push::end(&mut tx, push, PushState::Attached, None).await?;
        None
    } else {
        Some(store::push::accept(&mut tx, &held).await?.number)
    };
    tx.commit().await?;
    Ok(build)
}

/// What nobody is receiving any more.
pub async fn reconcile(world: &mut World<'_>) -> Result<()> {
    for app in (0..world.apps.len()).filter(|app| world.apps[*app].hook.is_none()).collect::<Vec<_>>() {
        let pinned: Vec<Uuid> = world.open.iter().filter(|it| it.is_pinned).map(|it| it.id).collect();
        let what = format!("the reconciler looks at application {app}");
        attempt(world, what, reconcile_app(world::db(world), world.apps[app].id, pinned)).await?;
    }
    Ok(())
}

async fn reconcile_app(db: PgPool, app: Uuid, pinned: Vec<Uuid>) -> Result<()> {
    for push in store::push::forgotten(&db, app, FORGOTTEN_SECONDS).await? {
        let is_overtaken = store::push::is_overtaken(&db, &push).await?;
        if !is_overtaken && pinned.contains(&push.id) {
            decide(db.clone(), push.id).await?;
        } else {
            let mut conn = db.acquire().await?;
            store::push::end(&mut conn, push.id, PushState::Aborted, Some("it was lost")).await?;
        }
    }
    Ok(())
}

/// The user deletes the branch.
pub async fn delete(world: &mut World<'_>, branch: usize) -> Result<()> {
    let (db, id) = (world::db(world), world.branches[branch].id);
    let delete = async move {
        let mut tx = db.begin().await?;
        store::branch::delete(&mut tx, id).await?;
        remove_environments(&mut tx, id).await?;
        Ok(tx.commit().await?)
    };
    attempt(world, format_args!("branch {branch} is deleted"), delete).await?;
    Ok(())
}

/// All that a branch ran in but the main one.
pub async fn remove_environments(conn: &mut sqlx::PgConnection, branch: Uuid) -> Result<()> {
    for environment in store::environment::of_branch(&mut *conn, branch).await? {
        if environment.name != domain::name::MAIN {
            store::environment::ask_removal(&mut *conn, environment.id).await?;
        }
    }
    Ok(())
}

fn short(commit: &str) -> &str {
    commit.trim_start_matches('0')
}

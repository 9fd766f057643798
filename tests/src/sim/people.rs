//! What users and the platform's own rounds do beside the queue: cancel, sweep, repair, remove what is due.

use anyhow::Result;
use rand::Rng as _;
use store::build::{cancel, overdue};

use super::world::{self, World, attempt, say};

/// A user asks a build of the branch to stop: the newest, or the one before it.
pub async fn cancel(world: &mut World<'_>, branch: usize) -> Result<()> {
    let (db, id, skip) = (world::db(world), world.branches[branch].id, world.rng.random_range(0..2));
    let app = world.apps[world.branches[branch].app].id;
    let ask = async move {
        let builds = store::build::list(&db, app, None, 10).await?;
        let Some(build) = builds.into_iter().filter(|it| it.branch_id == id).nth(skip) else {
            return Ok(None);
        };
        let mut tx = db.begin().await?;
        let asked = cancel::ask(&mut tx, &build, "user").await?;
        tx.commit().await?;
        Ok(Some((build.number, asked)))
    };
    if let Some(Some((number, asked))) =
        attempt(world, format_args!("a user cancels of branch {branch}"), ask).await?
    {
        say(world, format_args!("  build {number}: {asked:?}"));
    }
    Ok(())
}

pub async fn sweep(world: &mut World<'_>) -> Result<()> {
    let db = world::db(world);
    let swept = attempt(world, "a worker sweeps", async move { store::queue::sweep(&db).await }).await?;
    if let Some(count @ 1..) = swept {
        say(world, format_args!("  {count} jobs had lost their holders"));
    }
    Ok(())
}

pub async fn repair(world: &mut World<'_>) -> Result<()> {
    let db = world::db(world);
    let repaired =
        attempt(world, "a builder looks for lost builds", async move { overdue::repair(&db).await }).await?;
    if let Some(repaired) = repaired.filter(|it| *it != overdue::Repaired::default()) {
        say(world, format_args!("  {repaired:?}"));
    }
    Ok(())
}

/// Environments whose branch is gone are asked to go, and so are those of which the question was lost.
pub async fn removals(world: &mut World<'_>) -> Result<()> {
    let db = world::db(world);
    let ask = async move {
        for id in store::environment::due_removals(&db).await? {
            let mut tx = db.begin().await?;
            store::environment::ask_due_removal(&mut tx, id).await?;
            tx.commit().await?;
        }
        Ok(())
    };
    attempt(world, "a deployer looks for environments that are to go", ask).await?;
    Ok(())
}

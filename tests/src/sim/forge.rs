//! A forge: commits, deliveries that come late, twice or never, and what it says when it is asked.

use anyhow::Result;
use domain::verdict::Verdict;
use rand::Rng as _;
use store::branch::Branch;
use store::delivery::NewDelivery;
use store::queue::{Job, Outcome};

use super::receiver::remove_environments;
use super::world::{self, World, attempt, say};

/// A branch that nobody asked about for so long is asked about.
const POLL_SECONDS: i64 = 30;

/// The branch moves, and its forge delivers that, mostly.
pub async fn commit(world: &mut World<'_>, branch: usize) -> Result<()> {
    let number = world.branches[branch].commits + 1;
    world.branches[branch].commits = number;
    let is_gone = world.branches[branch].name != "main" && world.rng.random_ratio(1, 8);
    world.branches[branch].tip = (!is_gone).then(|| world::commit(branch, number));
    let what = if is_gone { "is deleted".to_owned() } else { format!("moves to commit {number}") };
    say(world, format_args!("branch {branch} {what} on its forge"));
    if world.rng.random_ratio(4, 5) {
        world.branches[branch].delivered = Some(number);
        deliver(world, branch).await?;
    }
    Ok(())
}

/// The branch's last delivery, which may have come before.
pub async fn deliver(world: &mut World<'_>, branch: usize) -> Result<()> {
    let of = &world.branches[branch];
    let (Some(number), Some(hook_id)) = (of.delivered, world.apps[of.app].hook) else { return Ok(()) };
    let key = format!("{}-{branch}-{number}", world.seed);
    let (db, app_id, name) = (world::db(world), world.apps[of.app].id, of.name);
    let deliver = async move {
        let delivery = NewDelivery {
            hook_id,
            app_id: Some(app_id),
            delivery_key: Some(&key),
            event: Some("push"),
            verdict: Verdict::Accepted,
            why: None,
            reference: None,
            commit: None,
            body_sha256: None,
            body_bytes: 1,
            trace_parent: None,
        };
        let mut tx = db.begin().await?;
        if store::delivery::record(&mut tx, &delivery).await? == Verdict::Accepted {
            let branch = store::branch::touch(&mut tx, app_id, name).await?;
            store::branch::enqueue_resolve(&mut tx, branch.id).await?;
        }
        Ok(tx.commit().await?)
    };
    if attempt(world, format_args!("a delivery comes for branch {branch}"), deliver).await?.is_some() {
        world.branches[branch].heard = number;
    }
    Ok(())
}

pub async fn poll(world: &mut World<'_>) -> Result<()> {
    let db = world::db(world);
    let poll = async move {
        for branch in store::branch::due(&db, &["gitea"], POLL_SECONDS).await? {
            let mut tx = db.begin().await?;
            store::branch::enqueue_resolve(&mut tx, branch).await?;
            tx.commit().await?;
        }
        Ok(())
    };
    attempt(world, "forges are polled", poll).await?;
    Ok(())
}

/// A `resolve` job: what the branch was here and on its forge when they were asked.
#[derive(Debug, Clone, Default)]
pub struct Resolve {
    asked: Option<(Branch, Option<String>)>,
}

/// Asks, and at another time writes down what it heard. `true`: the job has ended.
pub async fn resolve(
    world: &mut World<'_>,
    who: &str,
    job: &Job,
    work: &mut Resolve,
) -> Result<Option<bool>> {
    let Some((branch, tip)) = work.asked.clone() else {
        let (db, id) = (world::db(world), job.subject);
        let ask = async move { store::branch::get(&db, id).await };
        let asked = attempt(world, format_args!("{who} asks for a branch"), ask).await?;
        let Some(branch) = asked else { return Ok(None) };
        let tip = world.branches.iter().find(|it| it.id == job.subject).and_then(|it| it.tip.clone());
        work.asked = branch.map(|branch| (branch, tip));
        return Ok(Some(work.asked.is_none()));
    };
    let (db, job) = (world::db(world), job.clone());
    let write = async move {
        let mut tx = db.begin().await?;
        if !store::queue::finish(&mut tx, &job, Outcome::Done).await? {
            return Ok("it lost the job");
        }
        let what = match tip {
            tip if tip == branch.commit => {
                store::branch::resolved(&mut tx, branch.id).await?;
                "it had not moved"
            }
            Some(commit) if store::push::record(&mut tx, &branch, &commit).await?.is_none() => {
                tx.rollback().await?;
                let again =
                    Outcome::Retry { error: "it was moved meanwhile", delay: std::time::Duration::ZERO };
                tx = db.begin().await?;
                store::queue::finish(&mut tx, &job, again).await?;
                "somebody else had moved it"
            }
            Some(_) => "it moved",
            None => {
                store::branch::delete(&mut tx, branch.id).await?;
                remove_environments(&mut tx, branch.id).await?;
                "it is gone"
            }
        };
        tx.commit().await?;
        Ok(what)
    };
    let ended = attempt(world, format_args!("{who} resolves a branch"), write).await?;
    Ok(ended.map(|what| {
        say(world, format_args!("  {what}"));
        true
    }))
}

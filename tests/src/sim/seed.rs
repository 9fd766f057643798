//! One seed from its first step to the verdict.

use anyhow::Result;
use domain::job::{BuildPolicy, JobKind};
use rand::Rng as _;
use store::team;

use super::place::{self, Place};
use super::world::{self, World, attempt, choose, pass};
use super::{audit, drain, forge, holder, people, receiver};

/// Before everything comes to rest.
const STEPS: u32 = 16;

#[derive(Debug)]
pub struct Played {
    pub seed: u64,
    /// What happened, a line each.
    pub story: Vec<String>,
    /// What is not as it should be.
    pub findings: Vec<String>,
}

/// Leaves the place as it was, as far as the next seed can tell.
pub async fn play(place: &mut Place, seed: u64) -> Result<Played> {
    let mut world = world::create(place, seed).await?;
    let findings = match live(&mut world).await {
        Ok(()) => audit::judge(&mut world).await?,
        Err(error) => vec![format!("{error:#}")],
    };
    let story = world.story;
    if !findings.is_empty() {
        place::clear(place).await?;
    }
    Ok(Played { seed, story, findings })
}

async fn live(world: &mut World<'_>) -> Result<()> {
    for _ in 0..STEPS {
        step(world).await?;
    }
    drain::rest(world).await
}

async fn step(world: &mut World<'_>) -> Result<()> {
    let told = world.story.len();
    something(world).await?;
    // Whatever was not only a look for work may have made some.
    if world.story[told..].iter().any(|it| !it.ends_with("looks for work")) {
        world.is_idle.clear();
    }
    Ok(())
}

async fn something(world: &mut World<'_>) -> Result<()> {
    let branch = world.rng.random_range(0..world.branches.len());
    let has_forge = world.apps[world.branches[branch].app].hook.is_some();
    let in_hand = world.holders.len();
    match world.rng.random_range(0..100) {
        0..14 if has_forge => forge::commit(world, branch).await,
        14..17 if has_forge => forge::deliver(world, branch).await,
        0..14 => receiver::push(world, branch).await,
        14..25 => match choose(&mut world.rng, 0..world.open.len()) {
            Some(index) => receiver::settle(world, index).await,
            None => claim(world).await,
        },
        25..38 => claim(world).await,
        38..74 if in_hand > 0 => {
            let index = world.rng.random_range(0..in_hand);
            holder::work(world, index).await
        }
        38..74 => claim(world).await,
        74..83 => {
            let seconds = [1, 3, 6, 11, 11, 61, 61, 25 * 60 * 60][world.rng.random_range(0..8)];
            pass(world, seconds).await
        }
        83..89 => people::sweep(world).await,
        89..91 => people::repair(world).await,
        91..95 => people::cancel(world, branch).await,
        95 if !has_forge => receiver::delete(world, branch).await,
        95 => forge::poll(world).await,
        96 => policy(world, branch).await,
        97 => people::removals(world).await,
        _ => receiver::reconcile(world).await,
    }
}

/// A worker looks for work, mostly where there may be some.
async fn claim(world: &mut World<'_>) -> Result<()> {
    let kinds = [JobKind::Resolve, JobKind::Build, JobKind::Build, JobKind::Deploy, JobKind::Report];
    let is_any = world.rng.random_ratio(1, 10);
    let busy: Vec<JobKind> =
        kinds.into_iter().filter(|kind| is_any || !world.is_idle.contains(kind)).collect();
    let Some(kind) = choose(&mut world.rng, busy) else { return pass(world, 1).await };
    let slots = world.rng.random_range(1..=4);
    if !holder::claim(world, kind, slots).await? {
        world.is_idle.push(kind);
    }
    Ok(())
}

/// From now on each commit of the branch is built, or no longer.
async fn policy(world: &mut World<'_>, branch: usize) -> Result<()> {
    let policies = [BuildPolicy::Newest, BuildPolicy::Every, BuildPolicy::FinishRunning];
    let policy = policies[world.rng.random_range(0..policies.len())];
    let (db, id) = (world::db(world), world.branches[branch].id);
    let set = async move { team::set_policy(&mut *db.acquire().await?, id, policy).await };
    if attempt(world, format_args!("the policy of branch {branch} becomes {policy}"), set).await?.is_none()
        || world.branches[branch].policy != policy
    {
        // What came under the other policy is not judged by it.
        world.branches[branch].policy = BuildPolicy::Newest;
    }
    Ok(())
}

/// Nothing goes wrong: the first branch, which has a forge, gets a commit, whose build says something, and it goes live.
pub async fn one_commit_to_live(world: &mut World<'_>) -> Result<()> {
    world.is_faulty = false;
    world.branches[0].commits = 1;
    world.branches[0].tip = Some(world::commit(0, 1));
    for kind in [JobKind::Resolve, JobKind::Build, JobKind::Deploy] {
        if kind == JobKind::Resolve {
            forge::poll(world).await?;
        }
        holder::claim(world, kind, 1).await?;
        holder::work_well(world).await?;
    }
    drain::rest(world).await
}

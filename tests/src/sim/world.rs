//! One simulated platform: its applications and branches, who is at work in it, and what was told to whom.

use std::collections::BTreeMap;
use std::fmt::Display;

use anyhow::{Context as _, Result};
use domain::forge_kind::ForgeKind;
use domain::job::{BuildPolicy, JobKind};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sqlx::{Connection as _, PgPool};
use store::app::{Forge, NewApp};
use store::team::{self, Change};
use uuid::Uuid;

use super::holder::Holder;
use super::place::{self, Place};
use super::receiver::OpenPush;
use super::wire::{self, Fault};

/// A statement later than this in an operation is rare.
const STATEMENTS_MAX: u32 = 9;

#[derive(Debug)]
pub struct World<'p> {
    pub place: &'p mut Place,
    pub rng: StdRng,
    pub seed: u64,
    pub is_faulty: bool,
    /// All is at rest, and whoever slept does what it was about to do.
    pub is_waking: bool,
    /// What happened, in words.
    pub story: Vec<String>,
    /// By the simulated clock, since the beginning.
    pub seconds: i32,
    pub apps: Vec<App>,
    pub branches: Vec<Branch>,
    pub holders: Vec<Holder>,
    /// Claims so far; they name their holders.
    pub claims: u32,
    /// Nothing of these kinds was ready when somebody looked, and nothing has happened since.
    pub is_idle: Vec<JobKind>,
    pub open: Vec<OpenPush>,
    /// Pushes whose users were told that they have a build.
    pub told: Vec<Uuid>,
    /// How many lines the log of a build has, at least and at most.
    pub lines: BTreeMap<Uuid, (i64, i64)>,
}

#[derive(Debug)]
pub struct App {
    pub id: Uuid,
    /// Where its forge delivers to. `None`: it is pushed to Slipway itself.
    pub hook: Option<Uuid>,
}

#[derive(Debug)]
pub struct Branch {
    pub id: Uuid,
    pub app: usize,
    pub name: &'static str,
    pub policy: BuildPolicy,
    /// So many commits were made on it.
    pub commits: u32,
    /// What the forge says that it is.
    pub tip: Option<String>,
    /// The commit that its forge delivered last, and may deliver again.
    pub delivered: Option<u32>,
    /// The commit whose delivery was accepted last.
    pub heard: u32,
}

pub fn commit(branch: usize, number: u32) -> String {
    format!("{branch:08x}{number:032x}")
}

/// With the applications that the seed says, and nothing else. Whoever was there before is at rest.
pub async fn create(place: &mut Place, seed: u64) -> Result<World<'_>> {
    let shapes: &[bool] = match seed % 4 {
        0 => &[true],
        1 => &[false],
        _ => &[true, false],
    };
    create_with(place, seed, shapes).await
}

/// With these applications: each has a forge, or is pushed to Slipway itself.
pub async fn create_with<'p>(place: &'p mut Place, seed: u64, shapes: &[bool]) -> Result<World<'p>> {
    place::reset_clock(place).await?;
    let mut world = World {
        place,
        rng: StdRng::seed_from_u64(seed),
        seed,
        is_faulty: true,
        is_waking: false,
        story: Vec::new(),
        seconds: 0,
        apps: Vec::new(),
        branches: Vec::new(),
        holders: Vec::new(),
        claims: 0,
        is_idle: Vec::new(),
        open: Vec::new(),
        told: Vec::new(),
        lines: BTreeMap::new(),
    };
    let team_limit = [None, Some(1), Some(2)][world.rng.random_range(0..3)];
    team::set(&mut world.place.direct, team::DEFAULT, None, Some(team_limit)).await?;
    for has_forge in shapes {
        add_app(&mut world, *has_forge).await?;
    }
    Ok(world)
}

async fn add_app(world: &mut World<'_>, has_forge: bool) -> Result<()> {
    let index = world.apps.len();
    let name = format!("s{}-{index}-{}", world.seed, Uuid::new_v4().simple());
    let forge = has_forge.then(|| Forge {
        kind: ForgeKind::Gitea,
        repo_url: "http://forge/repository.git".to_owned(),
        user: None,
        token: None,
        api_url: None,
    });
    let build_limit = world.rng.random_range(1..=2);
    let branches = world.rng.random_range(1..=2);
    let mut tx = world.place.direct.begin().await?;
    let app = store::app::create(&mut tx, &NewApp { forge, ..NewApp::pushed(&name, "main") }).await?;
    let app = app.context("the name of an application is taken")?;
    if build_limit > 1 {
        let change = Change { build_limit: Some(build_limit), ..Change::default() };
        team::change_share(&mut tx, app.id, &change).await?;
    }
    for name in ["main", "topic"].into_iter().take(branches) {
        let policy = match world.rng.random_range(0..4) {
            0 => BuildPolicy::Every,
            1 => BuildPolicy::FinishRunning,
            _ => BuildPolicy::Newest,
        };
        let branch = store::branch::touch(&mut tx, app.id, name).await?;
        if policy != BuildPolicy::Newest {
            team::set_policy(&mut tx, branch.id, policy).await?;
        }
        world.branches.push(Branch {
            id: branch.id,
            app: index,
            name,
            policy,
            commits: 0,
            tip: None,
            delivered: None,
            heard: 0,
        });
    }
    tx.commit().await?;
    world.apps.push(App { id: app.id, hook: has_forge.then(Uuid::new_v4) });
    Ok(())
}

pub fn say(world: &mut World<'_>, what: impl Display) {
    let line = format!("{:6} s  {what}", world.seconds);
    world.story.push(line);
}

/// Time goes by.
pub async fn pass(world: &mut World<'_>, seconds: i32) -> Result<()> {
    say(world, format_args!("{seconds} s go by"));
    world.seconds += seconds;
    place::pass(world.place, seconds).await
}

/// Through the wire.
pub fn db(world: &World<'_>) -> PgPool {
    world.place.db.clone()
}

/// An operation of the platform, of which any statement may be struck. `None`: one was, and it failed. One that fails by
/// itself is an error of its own.
pub async fn attempt<T>(
    world: &mut World<'_>,
    what: impl Display,
    operation: impl Future<Output = Result<T>>,
) -> Result<Option<T>> {
    if world.is_faulty && world.rng.random_ratio(1, 5) {
        let fault = match world.rng.random_range(0..5) {
            0 | 1 => Fault::CutAfter,
            2 | 3 => Fault::CutBefore,
            _ => Fault::Deadlock,
        };
        wire::arm(&world.place.wire, world.rng.random_range(0..STATEMENTS_MAX), fault);
        let result = operation.await;
        let struck = wire::disarm(&world.place.wire);
        let how = if struck { format!(", struck by {fault:?}") } else { String::new() };
        return match result {
            Ok(value) => {
                say(world, format_args!("{what}{how}"));
                Ok(Some(value))
            }
            Err(_) if struck => {
                say(world, format_args!("{what}{how}: failed"));
                Ok(None)
            }
            Err(error) => Err(error.context(format!("{what} failed by itself"))),
        };
    }
    let value = operation.await.with_context(|| format!("{what} failed by itself"))?;
    say(world, what);
    Ok(Some(value))
}

/// One of them, if there is one.
pub fn choose<T>(rng: &mut StdRng, from: impl IntoIterator<Item = T>) -> Option<T> {
    let mut all: Vec<T> = from.into_iter().collect();
    if all.is_empty() { None } else { Some(all.swap_remove(rng.random_range(0..all.len()))) }
}

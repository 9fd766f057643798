//! Plays the builder and the deployer with the queue's real functions: what comes before a build and what is told of it
//! afterwards is real, and the build itself takes as long and ends as a script says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use domain::job::JobKind;
use domain::name;
use domain::reason::{Reason, ReasonCode};
use sqlx::{PgConnection, PgPool};
use store::bell::{self, Channel};
use store::build::Build;
use store::environment::NewEnvironment;
use store::queue::{self, Job, Outcome};
use store::release::{NewRelease, Release};
use store::worker::{self, Held, Stop, Worker};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const SLOTS: usize = 32;
/// A database that is away comes back; an attempt of the job is not spent on it.
const END_TRIES: usize = 40;
const END_AGAIN: Duration = Duration::from_millis(250);
pub(crate) const DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
/// So many older builds are looked at for ones that lost their job.
const OLDER_MAX: i64 = 50;

/// How a build goes.
#[derive(Debug, Clone, Copy)]
pub struct Script {
    pub builds_for: Duration,
    pub rolls_out_for: Duration,
    pub end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Live,
    BuildFails,
    RollOutFails,
}

/// Says how a build of a commit goes.
pub type Scripts = Arc<dyn Fn(&Build) -> Script + Send + Sync>;

/// A commit whose build was claimed, and when.
pub type Claim = (String, Instant);

#[derive(Clone)]
struct Player {
    db: PgPool,
    scripts: Scripts,
    claims: UnboundedSender<Claim>,
}

enum Ended {
    Built,
    Failed,
    Stopped(Stop),
}

/// Until `shutdown`.
pub async fn run(
    db: PgPool,
    scripts: Scripts,
    claims: UnboundedSender<Claim>,
    shutdown: CancellationToken,
) -> Result<()> {
    let player = Player { db: db.clone(), scripts, claims };
    let worker = |kinds| Worker { kinds, owner: "player".to_owned(), slots: SLOTS };
    let mut tasks = JoinSet::new();
    tasks.spawn(worker::run(db.clone(), worker(&[JobKind::Build]), shutdown.clone(), {
        let player = player.clone();
        move |held: Held| {
            let (player, now) = (player.clone(), Instant::now());
            async move { build(&player, &held, now).await }
        }
    }));
    tasks.spawn(worker::run(db, worker(&[JobKind::Deploy]), shutdown, move |held: Held| {
        let player = player.clone();
        async move { roll_out(&player, &held).await }
    }));
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

async fn build(player: &Player, held: &Held, claimed: Instant) -> Result<()> {
    let (db, job) = (&player.db, &held.job);
    let Some(build) = store::build::get(db, job.subject).await?.filter(|it| !it.state.0.is_final()) else {
        return finish(db, job, Outcome::Done).await;
    };
    // Nobody may listen any more.
    player.claims.send((build.commit.clone(), claimed)).ok();
    if !begin(db, job, &build).await? {
        return finish(db, job, Outcome::Cancelled).await;
    }
    let script = (player.scripts)(&build);
    let ended = tokio::select! {
        stop = held.stopped() => Ended::Stopped(stop),
        () = tokio::time::sleep(script.builds_for) => match script.end {
            End::BuildFails => Ended::Failed,
            End::Live | End::RollOutFails => Ended::Built,
        },
    };
    again(|| end_build(db, job, &build, &ended)).await?;
    worker::wake(db, &[JobKind::Build, JobKind::Deploy]).await;
    bell::ring(db, Channel::Build, &build.id.to_string()).await;
    Ok(())
}

/// As the builder: also ends older builds of the branch that lost their job to this one.
async fn begin(db: &PgPool, job: &Job, build: &Build) -> Result<bool> {
    let mut tx = db.begin().await?;
    if !queue::holds(&mut tx, job).await? || !store::build::start(&mut tx, build.id, job.attempt).await? {
        return Ok(false);
    }
    let older = store::build::list(db, build.app_id, Some(build.number), OLDER_MAX).await?;
    for older in older.iter().filter(|it| it.branch_id == build.branch_id && !it.state.0.is_final()) {
        store::build::stop(&mut tx, older).await?;
    }
    tx.commit().await?;
    bell::ring(db, Channel::Build, &build.id.to_string()).await;
    Ok(true)
}

/// `None`: the job is somebody else's by now.
fn outcome<'a>(ended: &Ended, failure: &'a Reason) -> Option<Outcome<'a>> {
    match ended {
        Ended::Built => Some(Outcome::Done),
        Ended::Failed => Some(Outcome::Failed { error: &failure.message }),
        Ended::Stopped(Stop::Cancelled) => Some(Outcome::Cancelled),
        Ended::Stopped(Stop::Shutdown) => Some(Outcome::HandBack),
        Ended::Stopped(Stop::Lost) => None,
    }
}

async fn end_build(db: &PgPool, job: &Job, build: &Build, ended: &Ended) -> Result<()> {
    let failure = Reason::new(ReasonCode::StepFailed, "the script of this soak says so");
    let mut tx = db.begin().await?;
    let Some(outcome) = outcome(ended, &failure) else { return Ok(()) };
    if !queue::finish(&mut tx, job, outcome).await? {
        return Ok(());
    }
    match ended {
        Ended::Built => {
            if store::build::succeed(&mut tx, build.id, DIGEST).await? {
                release(&mut tx, build).await?;
            }
        }
        Ended::Failed => {
            store::build::fail(&mut tx, build.id, &failure).await?;
        }
        Ended::Stopped(Stop::Cancelled) => {
            store::build::stop(&mut tx, build).await?;
        }
        Ended::Stopped(Stop::Shutdown | Stop::Lost) => {}
    }
    Ok(tx.commit().await?)
}

/// The image and the release of a build that nobody built.
pub(crate) async fn release(conn: &mut PgConnection, build: &Build) -> Result<()> {
    store::build::record_image(&mut *conn, build, "registry/played", DIGEST, 1).await?;
    let namespace = name::namespace(&build.environment, &build.app_id.to_string());
    let environment = NewEnvironment {
        app_id: build.app_id,
        branch_id: build.branch_id,
        name: &build.environment,
        namespace: &namespace,
        ttl_seconds: build.ttl_seconds,
    };
    let environment = store::environment::ensure(&mut *conn, &environment).await?;
    let image = format!("registry/played@{DIGEST}");
    let new = NewRelease { build_id: build.id, image: &image, port: 8080, health_path: "/" };
    store::release::create(conn, &environment, &new).await?;
    Ok(())
}

async fn roll_out(player: &Player, held: &Held) -> Result<()> {
    let (db, job) = (&player.db, &held.job);
    // Or the job is to remove an environment, of which there is nothing.
    let release = store::release::get(db, job.subject).await?.filter(|it| !it.state.0.is_final());
    let Some(release) = release else { return finish(db, job, Outcome::Done).await };
    let build = store::build::get(db, release.build_id).await?;
    let Some(script) = build.as_ref().map(|build| (player.scripts)(build)) else {
        return finish(db, job, Outcome::Done).await;
    };
    if !begin_roll_out(db, job, &release).await? {
        return finish(db, job, Outcome::Done).await;
    }
    let ended = tokio::select! {
        stop = held.stopped() => Ended::Stopped(stop),
        () = tokio::time::sleep(script.rolls_out_for) => match script.end {
            End::Live => Ended::Built,
            End::BuildFails | End::RollOutFails => Ended::Failed,
        },
    };
    again(|| end_roll_out(db, job, &release, &ended)).await?;
    worker::wake(db, &[JobKind::Deploy]).await;
    bell::ring(db, Channel::Build, &release.build_id.to_string()).await;
    Ok(())
}

async fn begin_roll_out(db: &PgPool, job: &Job, release: &Release) -> Result<bool> {
    let mut tx = db.begin().await?;
    let nothing = serde_json::json!([]);
    if !queue::holds(&mut tx, job).await? || !store::release::start(&mut tx, release.id, &nothing).await? {
        return Ok(false);
    }
    tx.commit().await?;
    Ok(true)
}

async fn end_roll_out(db: &PgPool, job: &Job, release: &Release, ended: &Ended) -> Result<()> {
    let failure = Reason::new(ReasonCode::NeverReady, "the script of this soak says so");
    let mut tx = db.begin().await?;
    if matches!(ended, Ended::Built) {
        store::branch::hold_of_build(&mut tx, release.build_id).await?;
    }
    let Some(outcome) = outcome(ended, &failure) else { return Ok(()) };
    if !queue::finish(&mut tx, job, outcome).await? {
        return Ok(());
    }
    match ended {
        Ended::Built => store::release::make_live(&mut tx, release).await?,
        Ended::Failed => store::release::fail(&mut tx, release.id, &failure).await?,
        Ended::Stopped(Stop::Cancelled) => store::release::supersede(&mut tx, release.id).await?,
        Ended::Stopped(Stop::Shutdown | Stop::Lost) => false,
    };
    Ok(tx.commit().await?)
}

/// A transaction whose commit was lost on the way is not done twice: its job's lease is gone.
async fn again<F: Future<Output = Result<()>>>(end: impl Fn() -> F) -> Result<()> {
    let mut tries = 0;
    loop {
        tries += 1;
        match end().await {
            Err(_) if tries < END_TRIES => tokio::time::sleep(END_AGAIN).await,
            ended => return ended,
        }
    }
}

async fn finish(db: &PgPool, job: &Job, outcome: Outcome<'_>) -> Result<()> {
    let mut tx = db.begin().await?;
    queue::finish(&mut tx, job, outcome).await?;
    Ok(tx.commit().await?)
}

//! One cell from its push to its verdict.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rand::RngCore as _;
use sqlx::PgPool;
use uuid::Uuid;

use super::cell::{Cell, Fault, Moment};
use super::check::{self, Ended};
use super::world::{self, World};
use super::{cause, moment};
use crate::database::Database;
use crate::{receiver, tree};

const PUSH_MAX: Duration = Duration::from_secs(60);
/// More than the part of it that makes a moment.
const SOURCE: usize = 1500 << 10;
/// Packing them takes long enough to be seen.
const LAYER: u64 = 60_000_000;
const STEP_SECONDS: u64 = 4;
/// A builder that was stopped and woke up would write something within this time.
const WRITES_WITHIN: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What came of a cell.
#[derive(Debug, Clone)]
pub struct Verdict {
    pub cell: Cell,
    /// `succeeded`, or `failed: CODE`.
    pub outcome: String,
    pub attempts: i32,
    /// From the fault to the next attempt, where there was one.
    pub resumed_s: Option<f64>,
    /// From the fault to the build's end.
    pub recovered_s: f64,
    pub took_s: f64,
    pub findings: Vec<String>,
}

pub async fn run(world: &mut World, database: &Database, cell: &Cell, number: usize) -> Verdict {
    let started = Instant::now();
    let ran = Box::pin(tried(world, database, cell, number)).await;
    let took_s = started.elapsed().as_secs_f64();
    ran.map(|verdict| Verdict { took_s, ..verdict }).unwrap_or_else(|error| Verdict {
        cell: *cell,
        outcome: "the cell broke off".to_owned(),
        attempts: 0,
        resumed_s: None,
        recovered_s: 0.0,
        took_s,
        findings: vec![format!("{error:#}")],
    })
}

async fn tried(world: &mut World, database: &Database, cell: &Cell, number: usize) -> Result<Verdict> {
    world::heal(world).await?;
    let db = &database.db;
    let app = format!("cell-{number}");
    if matches!(cell.fault, Fault::BlobsGone | Fault::BlobsChanged) {
        let primed = push(world, db, cell, &format!("primed-{number}")).await?;
        let primed = check::ended(db, primed).await?;
        ensure!(primed.state == "succeeded", "the build before the fault did not succeed: {primed:?}");
        cause::cause(world, database, cell.fault, Uuid::nil()).await?;
    }
    if matches!(cell.fault, Fault::OwnDaemonGone(_)) {
        world::add_daemon(world).await?;
    }
    moment::arm(world, cell);
    let build = push(world, db, cell, &app).await?;
    moment::reached(world, db, cell, &app, build).await?;
    let (at, attempt) = (clock(database).await?, attempt(db, build).await?);

    let resumed = resumed(database, build, attempt);
    let caused = async {
        if cell.moment == Moment::Before {
            return Ok(());
        }
        cause::cause(world, database, cell.fault, build).await
    };
    let ended = async {
        let ended = check::ended(db, build).await?;
        anyhow::Ok((written(db, build).await?, ended))
    };
    let both = async { tokio::join!(caused, ended) };
    let ((caused, ended), resumed_at) = Box::pin(beside(both, resumed)).await;
    caused.context("causing the fault")?;
    let (before, ended) = ended?;
    let mut findings = check::findings(world, db, cell, &app, build, &ended).await?;
    if matches!(cell.fault, Fault::BuilderPaused(_)) {
        tokio::time::sleep(WRITES_WITHIN).await;
        let after = written(db, build).await?;
        if before != after {
            findings.push(format!("the builder that woke up wrote: {before} became {after}"));
        }
    }
    let recovered_s = (ended.finished_at - at).max(0.0);
    if recovered_s > cell.within as f64 {
        findings.push(format!("it took {recovered_s:.1} s, not {} at most", cell.within));
    }
    let resumed_s = resumed_at.map(|resumed_at| (resumed_at - at).max(0.0));
    Ok(verdict(cell, &ended, resumed_s, recovered_s, findings))
}

fn verdict(
    cell: &Cell,
    ended: &Ended,
    resumed_s: Option<f64>,
    recovered_s: f64,
    findings: Vec<String>,
) -> Verdict {
    let outcome = match &ended.code {
        Some(code) => format!("{}: {code}", ended.state),
        None => ended.state.clone(),
    };
    Verdict { cell: *cell, outcome, attempts: ended.attempt, resumed_s, recovered_s, took_s: 0.0, findings }
}

/// The first one's answer, and the other one's if it came before.
async fn beside<A, B>(first: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, Option<B>) {
    let (mut first, mut other) = (std::pin::pin!(first), std::pin::pin!(other));
    let mut answer = None;
    loop {
        tokio::select! {
            biased;
            done = &mut other, if answer.is_none() => answer = Some(done),
            done = &mut first => return (done, answer),
        }
    }
}

/// Pushes an application of this name, made for the cell, and gives its build.
async fn push(world: &World, db: &PgPool, cell: &Cell, app: &str) -> Result<Uuid> {
    let folder = world.folder.join("trees").join(app);
    let mut tree = tree::create(&folder, "faults").await?;
    tree::set_header(&mut tree, receiver::authorization(&world.token));
    let size = if cell.moment == Moment::SourceSent { SOURCE } else { 100 };
    let mut data = vec![0; size];
    rand::rng().fill_bytes(&mut data);
    std::fs::write(folder.join("data"), data)?;
    std::fs::write(folder.join("Dockerfile"), dockerfile(cell, app))?;
    let commit = tree::commit(&tree, app, 0).await?;
    let remote = receiver::remote(&world.receiver, app);
    let push = ["push", "-o", "wait=queued", &remote, "HEAD:refs/heads/main"];
    let pushed = tree::bounded(&tree, &push, PUSH_MAX).await?;
    ensure!(pushed.status.success(), "git push: {}", String::from_utf8_lossy(&pushed.stderr));
    let build = "select b.id from build b join app a on a.id = b.app_id where a.name = $1 and b.commit = $2";
    sqlx::query_scalar(build).bind(app).bind(commit).fetch_one(db).await.context("the push became no build")
}

fn dockerfile(cell: &Cell, app: &str) -> String {
    if matches!(cell.fault, Fault::BlobsGone | Fault::BlobsChanged) {
        // A layer that the build before the fault made.
        return format!(
            "FROM debian:bookworm-slim\nRUN head -c 200000 /dev/urandom > /shared; echo {}\nCOPY data /data\n",
            cell.fault.words()
        );
    }
    let seconds = if cell.moment == Moment::Solving { STEP_SECONDS } else { 0 };
    let layer = if cell.moment == Moment::Exporting { LAYER } else { 1000 };
    format!(
        "FROM debian:bookworm-slim\nCOPY data /data\nRUN echo one {app}; echo two {app}; sleep {seconds}; \
         head -c {layer} /dev/urandom > /layer && echo three {app}\n"
    )
}

/// Seconds since 1970. Of the server, and not of the database that may be away.
async fn clock(database: &Database) -> Result<f64> {
    Ok(sqlx::query_scalar("select extract(epoch from clock_timestamp())::float8")
        .fetch_one(&database.superuser)
        .await?)
}

async fn attempt(db: &PgPool, build: Uuid) -> Result<i32> {
    let last = "select coalesce(max(attempt), 0) from job where kind = 'build' and subject = $1";
    Ok(sqlx::query_scalar(last).bind(build).fetch_one(db).await?)
}

/// When the next attempt is claimed.
async fn resumed(database: &Database, build: Uuid, before: i32) -> f64 {
    loop {
        let now = attempt(&database.db, build).await;
        if let (Ok(true), Ok(at)) = (now.map(|now| now > before), clock(database).await) {
            return at;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// All that is written down of a build, in one word.
async fn written(db: &PgPool, build: Uuid) -> Result<String> {
    Ok(sqlx::query_scalar(
        "select concat_ws(' ', b.state::text, b.digest, b.attempt, b.finished_at,
             (select count(*) from image where build_id = b.id), (select count(*) from release where build_id = b.id),
             (select count(*) from step where build_id = b.id),
             (select coalesce(max(first_line + line_count), 0) from log_chunk where build_id = b.id))
         from build b where b.id = $1",
    )
    .bind(build)
    .fetch_one(db)
    .await?)
}

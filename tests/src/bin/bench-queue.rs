//! `cargo xtask bench queue`: how many builds a second the queue takes, fairly and with limits, beside a plain table that is
//! worked with `for update skip locked`, which knows neither: with a short queue and with 50,000 builds queued.
//!
//! Both are filled one job a statement, hold as many, and are worked by as many clients in the same way: claim one, then
//! end it in a transaction of its own. Rounds of both are interleaved. Claims of the plain table are flushed to disk; ours
//! are not, because a claim that is forgotten was never made; whatever ends a job is, on both sides.

#![allow(clippy::print_stdout, reason = "a bench prints its results")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use domain::job::JobKind;
use harness::database::{self, Database};
use serde_json::{Value, json};
use sqlx::PgPool;
use store::app::NewApp;
use store::queue::{self, NewJob, Outcome, Priority};
use store::team::{self, Change};
use tokio::task::JoinSet;
use uuid::Uuid;

/// Claims and enqueues of both queues, short and long.
#[derive(Debug, Parser)]
struct Arguments {
    /// Rounds of each kind
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Write the results here as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Jobs in the long queue
    #[arg(long, default_value_t = 50_000)]
    depth: usize,
    #[arg(long, env = "DATABASE_URL", hide = true, hide_env_values = true)]
    database_url: String,
}

const CLIENTS: usize = 8;
const TEAMS: usize = 5;
const APPS: usize = 500;
/// Jobs that are queued and worked off in one round.
const A_ROUND: usize = 2000;
/// Jobs that are queued in one transaction while a queue is filled.
const A_BATCH: usize = 500;
const LEASE: Duration = Duration::from_secs(60);
const ASKED: f64 = 2.0;

#[derive(Debug, Clone)]
enum Queue {
    Ours(Arc<Vec<Uuid>>),
    Plain,
}

/// Jobs a second, of each round.
#[derive(Debug, Default)]
struct Rates {
    enqueued: Vec<f64>,
    claimed: Vec<f64>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let database = database::create(&arguments.database_url, "bench_queue").await?;
    let measured = tokio::select! {
        measured = measure(&arguments, &database) => measured,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    };
    database::drop(database).await?;
    let result = measured?;
    println!("claims at depth, ours / plain: {} (asked: at least {ASKED})", result["depth"]["claim_ratio"]);
    if let Some(path) = &arguments.json {
        std::fs::write(path, format!("{result:#}\n"))?;
    }
    Ok(())
}

async fn measure(arguments: &Arguments, database: &Database) -> Result<Value> {
    let db = &database.db;
    let ours = Queue::Ours(Arc::new(applications(db).await?));
    sqlx::raw_sql(
        "create table plain (
             id bigint generated always as identity primary key, state text not null default 'queued', payload jsonb not null);
         create index plain_ready on plain (id) where state = 'queued';",
    )
    .execute(db)
    .await?;
    let empty = rounds(db, &ours, arguments.rounds, 0).await?;
    println!("filling both with {} jobs", arguments.depth);
    for queue in [&ours, &Queue::Plain] {
        each(db, queue, arguments.depth, A_BATCH, 0).await?;
    }
    // As autovacuum would soon.
    sqlx::query("vacuum analyze").execute(db).await?;
    let depth = rounds(db, &ours, arguments.rounds, arguments.depth).await?;
    Ok(
        json!({ "clients": CLIENTS, "applications": APPS, "rounds": arguments.rounds, "queued": arguments.depth,
        "empty": empty, "depth": depth }),
    )
}

/// In several teams. Each may run a few builds at a time, so that no client finds nothing to do.
async fn applications(db: &PgPool) -> Result<Vec<Uuid>> {
    let mut tx = db.begin().await?;
    let mut apps = Vec::with_capacity(APPS);
    for n in 0..TEAMS {
        team::set(&mut tx, &format!("team{n}"), None, None).await?;
    }
    for n in 0..APPS {
        let name = format!("bench{n}");
        let app =
            store::app::create(&mut tx, &NewApp::pushed(&name, "main")).await?.context("a name is taken")?;
        let team = format!("team{}", n % TEAMS);
        let change = Change { team: Some(&team), build_limit: Some(4), weight: None };
        team::change_share(&mut tx, app.id, &change).await?;
        apps.push(app.id);
    }
    tx.commit().await?;
    Ok(apps)
}

async fn rounds(db: &PgPool, ours: &Queue, count: usize, depth: usize) -> Result<Value> {
    let (mut of_ours, mut of_plain) = (Rates::default(), Rates::default());
    // The first of each is not counted: connections are opened, and statements planned.
    for round in 0..=count {
        // Neither always comes first.
        let both = [(ours, &mut of_ours), (&Queue::Plain, &mut of_plain)];
        let both: Vec<_> =
            if round % 2 == 0 { both.into_iter().collect() } else { both.into_iter().rev().collect() };
        for (queue, rates) in both {
            let enqueued = each(db, queue, A_ROUND, 1, depth + round * A_ROUND).await?;
            let claimed = work(db, queue, A_ROUND).await?;
            if round > 0 {
                rates.enqueued.push(enqueued);
                rates.claimed.push(claimed);
            }
            let name = if matches!(queue, Queue::Plain) { "plain" } else { "ours" };
            println!(
                "{depth:6} queued, round {round}: {name:5} {enqueued:6.0} enqueued/s, {claimed:6.0} claimed/s"
            );
        }
    }
    let [claim, plain_claim, enqueue, plain_enqueue] =
        [&of_ours.claimed, &of_plain.claimed, &of_ours.enqueued, &of_plain.enqueued].map(|it| middle(it));
    let ratio = |ours: f64, plain: f64| (ours / plain.max(f64::EPSILON) * 1000.0).round() / 1000.0;
    Ok(json!({
        "claim_per_s": claim.round(), "plain_claim_per_s": plain_claim.round(), "claim_ratio": ratio(claim, plain_claim),
        "enqueue_per_s": enqueue.round(), "plain_enqueue_per_s": plain_enqueue.round(),
        "enqueue_ratio": ratio(enqueue, plain_enqueue),
    }))
}

fn middle(rates: &[f64]) -> f64 {
    let mut sorted = rates.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// Queues `count` jobs, `batch` in a transaction; answers how many a second. Names go on from `first`.
async fn each(db: &PgPool, queue: &Queue, count: usize, batch: usize, first: usize) -> Result<f64> {
    let next = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (db, queue, next) = (db.clone(), queue.clone(), next.clone());
        clients.spawn(async move {
            loop {
                let from = next.fetch_add(batch, Ordering::Relaxed);
                if from >= count {
                    return anyhow::Ok(());
                }
                let mut tx = db.begin().await?;
                for n in from..count.min(from + batch) {
                    enqueue(&mut tx, &queue, first + n).await?;
                }
                tx.commit().await?;
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    Ok(count as f64 / started.elapsed().as_secs_f64())
}

async fn enqueue(conn: &mut sqlx::PgConnection, queue: &Queue, n: usize) -> Result<()> {
    match queue {
        Queue::Ours(apps) => {
            let key = format!("branch{n}");
            let job = NewJob {
                turn_of: Some(apps[n % apps.len()]),
                priority: Priority::Push,
                ..NewJob::keyed(JobKind::Build, &key, Uuid::now_v7())
            };
            queue::enqueue(conn, job).await?;
        }
        Queue::Plain => {
            sqlx::query("insert into plain (payload) values ($1)")
                .bind(json!({ "n": n }))
                .execute(conn)
                .await?;
        }
    }
    Ok(())
}

/// Claims and ends `count` jobs; answers how many a second.
async fn work(db: &PgPool, queue: &Queue, count: usize) -> Result<f64> {
    let begun = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (db, queue, begun) = (db.clone(), queue.clone(), begun.clone());
        clients.spawn(async move {
            while begun.fetch_add(1, Ordering::Relaxed) < count {
                match queue {
                    Queue::Ours(_) => cycle(&db).await?,
                    Queue::Plain => plain_cycle(&db).await?,
                }
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    Ok(count as f64 / started.elapsed().as_secs_f64())
}

async fn cycle(db: &PgPool) -> Result<()> {
    let job = queue::claim(db, &[JobKind::Build], "bench", LEASE).await?.context("nothing was claimed")?;
    let mut tx = db.begin().await?;
    anyhow::ensure!(queue::finish(&mut tx, &job, Outcome::Done).await?, "the lease was lost");
    Ok(tx.commit().await?)
}

async fn plain_cycle(db: &PgPool) -> Result<()> {
    let mut tx = db.begin().await?;
    let id: i64 = sqlx::query_scalar(
        "select id from plain where state = 'queued' order by id limit 1 for update skip locked",
    )
    .fetch_one(&mut *tx)
    .await?;
    sqlx::query("update plain set state = 'running' where id = $1").bind(id).execute(&mut *tx).await?;
    tx.commit().await?;
    let mut tx = db.begin().await?;
    sqlx::query("update plain set state = 'done' where id = $1").bind(id).execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

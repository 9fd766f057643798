//! `cargo xtask bench queue`: how many builds a second the queue takes, fairly and with limits, beside a plain table that is
//! worked with `for update skip locked`, which knows neither: with a short queue and with 50,000 builds queued.
//!
//! Both are filled one job a statement and hold as many. Then eight clients claim a round's jobs, and when all are claimed
//! they end them, each in a transaction of its own. Rounds of both are interleaved. Ours are claimed as builders with eight
//! free slots claim them: eight in one call. `claim_ratio` sets that beside a plain table as it is commonly worked: one job
//! a transaction, found `for update skip locked`, updated, committed. `one_builder` is the same with one client, as most
//! clusters have one builder, which waits for no other one's claims. Of the plain way, most is round trips and flushes, which a
//! plain table can save as well: `plain_statement_claim_per_s` is one job a statement, `plain_batch_claim_per_s` eight a
//! statement. Claims of the plain table are flushed to disk; ours are not, because a claim that is forgotten was never
//! made. Whatever ends a job is, on both sides.

#![allow(clippy::print_stdout, reason = "a bench prints its results")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use domain::job::JobKind;
use harness::database::{self, Database};
use serde_json::{Value, json};
use sqlx::PgPool;
use store::app::NewApp;
use store::queue::{self, Job, NewJob, Outcome, Priority};
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
/// So many builds of an application run at a time.
const SEATS: usize = 4;
/// Jobs that are queued, claimed and ended in one round: fewer than there are seats, so that no client finds nothing to do.
const A_ROUND: usize = 1600;
/// Free slots of a client: so many it claims at once.
const SLOTS: usize = 8;
/// Jobs that are queued in one transaction while a queue is filled.
const A_BATCH: usize = 500;
const LEASE: Duration = Duration::from_secs(60);
const ASKED: f64 = 2.0;

#[derive(Debug, Clone)]
enum Queue {
    Ours(Arc<Vec<Uuid>>),
    Plain(Way),
}

/// How a plain table is claimed.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// One job a transaction of two statements.
    Transaction,
    /// One job a statement.
    Statement,
    /// [`SLOTS`] jobs a statement.
    Batch,
}

#[derive(Debug)]
enum Claimed {
    Ours(Box<Job>),
    Plain(i64),
}

/// Jobs a second, of each round.
#[derive(Debug, Default)]
struct Rates {
    enqueued: Vec<f64>,
    claimed: Vec<f64>,
    ended: Vec<f64>,
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
    for (name, of) in [
        ("empty", &result["empty"]),
        ("at depth", &result["depth"]),
        ("at depth, one builder", &result["one_builder"]),
    ] {
        println!(
            "{name}: {SLOTS} in one call of ours / one in a transaction of a plain table: {} (asked: at least {ASKED} at depth)",
            of["claim_ratio"]
        );
        println!(
            "  claims/s: {} ours, {} plain in transactions, {} plain in single statements, {} plain by {SLOTS} a statement",
            of["claim_per_s"],
            of["plain_claim_per_s"],
            of["plain_statement_claim_per_s"],
            of["plain_batch_claim_per_s"]
        );
    }
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
    let empty = rounds(db, &ours, arguments.rounds, 0, CLIENTS).await?;
    println!("filling both with {} jobs", arguments.depth);
    for queue in [&ours, &Queue::Plain(Way::Transaction)] {
        each(db, queue, arguments.depth, A_BATCH, 0).await?;
    }
    // As autovacuum would soon.
    sqlx::query("vacuum analyze").execute(db).await?;
    let depth = rounds(db, &ours, arguments.rounds, arguments.depth, CLIENTS).await?;
    let one_builder = rounds(db, &ours, arguments.rounds, arguments.depth, 1).await?;
    Ok(
        json!({ "clients": CLIENTS, "applications": APPS, "rounds": arguments.rounds, "queued": arguments.depth,
        "empty": empty, "depth": depth, "one_builder": one_builder }),
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
        let change = Change { team: Some(&team), build_limit: Some(i32::try_from(SEATS)?), weight: None };
        team::change_share(&mut tx, app.id, &change).await?;
        apps.push(app.id);
    }
    tx.commit().await?;
    Ok(apps)
}

async fn rounds(db: &PgPool, ours: &Queue, count: usize, depth: usize, clients: usize) -> Result<Value> {
    let plain = [Way::Transaction, Way::Statement, Way::Batch].map(Queue::Plain);
    let queues = [ours, &plain[0], &plain[1], &plain[2]];
    let mut rates: [Rates; 4] = Default::default();
    // The first of each is not counted: connections are opened, and statements planned.
    for round in 0..=count {
        // None always comes first.
        for of in 0..queues.len() {
            let of = (of + round) % queues.len();
            let enqueued = each(db, queues[of], A_ROUND, 1, depth + round * A_ROUND).await?;
            let (claimed, ended) = work(db, queues[of], clients).await?;
            if round > 0 {
                rates[of].enqueued.push(enqueued);
                rates[of].claimed.push(claimed);
                rates[of].ended.push(ended);
            }
            println!(
                "{depth:6} queued, {clients} clients, round {round}: {:22} {enqueued:6.0} enqueued/s, {claimed:6.0} claimed/s, {ended:6.0} ended/s",
                name(queues[of])
            );
        }
    }
    let [ours, plain, statement, batch] = &rates;
    let claim = [ours, plain, statement, batch].map(|it| middle(&it.claimed));
    let [enqueue, plain_enqueue] = [ours, plain].map(|it| middle(&it.enqueued));
    let [end, plain_end] = [ours, plain].map(|it| middle(&it.ended));
    let ratio = |ours: f64, plain: f64| (ours / plain.max(f64::EPSILON) * 1000.0).round() / 1000.0;
    Ok(json!({
        "claim_per_s": claim[0].round(), "plain_claim_per_s": claim[1].round(), "claim_ratio": ratio(claim[0], claim[1]),
        "plain_statement_claim_per_s": claim[2].round(), "plain_batch_claim_per_s": claim[3].round(),
        "end_per_s": end.round(), "plain_end_per_s": plain_end.round(), "end_ratio": ratio(end, plain_end),
        "enqueue_per_s": enqueue.round(), "plain_enqueue_per_s": plain_enqueue.round(),
        "enqueue_ratio": ratio(enqueue, plain_enqueue),
    }))
}

fn name(queue: &Queue) -> String {
    match queue {
        Queue::Ours(_) => format!("ours, {SLOTS} a call"),
        Queue::Plain(Way::Transaction) => "plain, a transaction".to_owned(),
        Queue::Plain(Way::Statement) => "plain, a statement".to_owned(),
        Queue::Plain(Way::Batch) => format!("plain, {SLOTS} a statement"),
    }
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
        Queue::Plain(_) => {
            sqlx::query("insert into plain (payload) values ($1)")
                .bind(json!({ "n": n }))
                .execute(conn)
                .await?;
        }
    }
    Ok(())
}

/// Claims a round's jobs and then ends them; answers how many a second of each.
async fn work(db: &PgPool, queue: &Queue, count: usize) -> Result<(f64, f64)> {
    let begun = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..count {
        let (db, queue, begun) = (db.clone(), queue.clone(), begun.clone());
        clients.spawn(async move {
            let mut claimed = Vec::new();
            let slots = slots(&queue);
            while begun.fetch_add(slots, Ordering::Relaxed) < A_ROUND {
                let jobs = claim(&db, &queue).await?;
                ensure!(jobs.len() == slots, "{} were claimed, not {slots}", jobs.len());
                claimed.extend(jobs);
            }
            anyhow::Ok(claimed)
        });
    }
    let mut claimed = Vec::new();
    while let Some(jobs) = clients.join_next().await {
        claimed.push(jobs??);
    }
    let claim_per_s = A_ROUND as f64 / started.elapsed().as_secs_f64();
    ensure!(claimed.iter().map(Vec::len).sum::<usize>() == A_ROUND, "a round was not claimed as a whole");
    let started = Instant::now();
    let mut clients = JoinSet::new();
    for jobs in claimed {
        let db = db.clone();
        clients.spawn(async move {
            for job in jobs {
                end(&db, &job).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    Ok((claim_per_s, A_ROUND as f64 / started.elapsed().as_secs_f64()))
}

const fn slots(queue: &Queue) -> usize {
    match queue {
        Queue::Ours(_) | Queue::Plain(Way::Batch) => SLOTS,
        Queue::Plain(Way::Transaction | Way::Statement) => 1,
    }
}

async fn claim(db: &PgPool, queue: &Queue) -> Result<Vec<Claimed>> {
    let way = match queue {
        Queue::Ours(_) => {
            let jobs = queue::claim_up_to(db, &[JobKind::Build], "bench", LEASE, SLOTS).await?;
            return Ok(jobs.into_iter().map(|job| Claimed::Ours(Box::new(job))).collect());
        }
        Queue::Plain(way) => way,
    };
    let ids: Vec<i64> = match way {
        Way::Transaction => {
            let mut tx = db.begin().await?;
            let id: i64 = sqlx::query_scalar(
                "select id from plain where state = 'queued' order by id limit 1 for update skip locked",
            )
            .fetch_one(&mut *tx)
            .await?;
            sqlx::query("update plain set state = 'running' where id = $1")
                .bind(id)
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
            vec![id]
        }
        Way::Statement | Way::Batch => {
            sqlx::query_scalar(
                "update plain set state = 'running' where id = any(array(
                     select id from plain where state = 'queued' order by id limit $1 for update skip locked
                 )) returning id",
            )
            .bind(i64::try_from(slots(queue))?)
            .fetch_all(db)
            .await?
        }
    };
    Ok(ids.into_iter().map(Claimed::Plain).collect())
}

async fn end(db: &PgPool, claimed: &Claimed) -> Result<()> {
    let mut tx = db.begin().await?;
    match claimed {
        Claimed::Ours(job) => {
            let is_held = queue::finish(&mut tx, job, Outcome::Done).await?;
            ensure!(is_held, "the lease was lost");
        }
        Claimed::Plain(id) => {
            sqlx::query("update plain set state = 'done' where id = $1").bind(id).execute(&mut *tx).await?;
        }
    }
    Ok(tx.commit().await?)
}

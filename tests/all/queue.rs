//! Three hundred pushes of one application and one of another arrive at once, and one build runs at a time: the other
//! one's build is next. On a database of its own, with the functions that receiver and builder call; builds are played.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use domain::job::JobKind;
use domain::push_options::PushOptions;
use harness::platform::Platform;
use harness::{database, wait};
use sqlx::PgPool;
use store::app::NewApp;
use store::push::{self, Intent};
use store::queue::{self, Outcome};
use store::worker::{self, Held, Worker};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const FLOOD: usize = 300;
const BUILDS_FOR: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(120);
/// So many of the flood have begun when the other push arrives, in the midst of it.
const BEGUN: usize = 5;

/// The builds that began, in their order, and how many run.
#[derive(Debug, Default)]
struct Seen {
    begun: Vec<Uuid>,
    running: usize,
    running_max: usize,
}

#[tokio::test]
async fn a_flood_of_one_application_delays_another_by_one_build() -> Result<()> {
    let platform = Platform::from_env()?;
    let database = database::create(&platform.database_url, "queue").await?;
    let flooded = flood(&database.db).await;
    database::drop(database).await?;
    flooded
}

async fn flood(db: &PgPool) -> Result<()> {
    let (flooding, other) = (app(db, "flood").await?, app(db, "other").await?);
    let (seen, shutdown) = (Arc::new(Mutex::new(Seen::default())), CancellationToken::new());
    let mut working = JoinSet::new();
    let worker = Worker { kinds: &[JobKind::Build], owner: "builder".to_owned(), slots: 1 };
    working.spawn(worker::run(db.clone(), worker, shutdown.clone(), {
        let (db, seen) = (db.clone(), seen.clone());
        move |held: Held| play(db.clone(), seen.clone(), held)
    }));

    // All want to at once; those that wait for their turn do not keep the builder from the database.
    let (mut pushing, turns) = (JoinSet::new(), Arc::new(Semaphore::new(8)));
    for n in 0..FLOOD {
        let (db, turns) = (db.clone(), turns.clone());
        pushing.spawn(async move {
            let _turn = turns.acquire().await?;
            pushed(&db, flooding, &format!("branch-{n}")).await
        });
    }
    wait::until("some of the flood to begin", PATIENCE, || async {
        let begun = seen.lock().expect("nobody panicked").begun.len();
        Ok(if begun >= BEGUN { Ok(()) } else { Err(begun) })
    })
    .await?;
    let build = pushed(db, other, "main").await?;
    let before = seen.lock().expect("nobody panicked").begun.len();
    while let Some(pushed) = pushing.join_next().await {
        pushed??;
    }
    wait::until("all builds to end", PATIENCE, || async {
        let ended: i64 =
            sqlx::query_scalar("select count(*) from build where state = 'succeeded'").fetch_one(db).await?;
        Ok(if ended == FLOOD as i64 + 1 { Ok(()) } else { Err(ended) })
    })
    .await?;
    shutdown.cancel();
    while let Some(ended) = working.join_next().await {
        ended??;
    }

    let seen = seen.lock().expect("nobody panicked");
    let place = seen.begun.iter().position(|id| *id == build).context("it never began")?;
    // The slot may have been taken while the push was still committed.
    assert!(place <= before + 1, "{place} builds began before it, {before} of them before it was pushed");
    assert_eq!(seen.running_max, 1);
    let mut once = seen.begun.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!((seen.begun.len(), once.len()), (FLOOD + 1, FLOOD + 1), "each build ran once");
    Ok(())
}

async fn app(db: &PgPool, name: &str) -> Result<Uuid> {
    let mut conn = db.acquire().await?;
    let app = store::app::create(&mut conn, &NewApp::pushed(name, "main")).await?;
    Ok(app.context("the name is taken")?.id)
}

/// As the receiver takes a push: the intent first, then the build.
async fn pushed(db: &PgPool, app_id: Uuid, branch: &str) -> Result<Uuid> {
    let (id, new, options) = (Uuid::now_v7(), "a".repeat(40), PushOptions::default());
    let intent = Intent { id, app_id, branch, old: None, new: &new, pusher: "ann", options: &options };
    push::begin(&mut *db.acquire().await?, &intent).await?;
    let mut tx = db.begin().await?;
    let held = push::hold(&mut tx, id).await?.context("the push was written down")?;
    let build = push::accept(&mut tx, &held).await?;
    tx.commit().await?;
    worker::wake(db, &[JobKind::Build]).await;
    Ok(build.id)
}

async fn play(db: PgPool, seen: Arc<Mutex<Seen>>, held: Held) -> Result<()> {
    let job = &held.job;
    {
        let mut seen = seen.lock().expect("nobody panicked");
        seen.begun.push(job.subject);
        seen.running += 1;
        seen.running_max = seen.running_max.max(seen.running);
    }
    let mut tx = db.begin().await?;
    anyhow::ensure!(store::build::start(&mut tx, job.subject, job.attempt).await?, "it has ended already");
    tx.commit().await?;
    tokio::time::sleep(BUILDS_FOR).await;
    seen.lock().expect("nobody panicked").running -= 1;
    let mut tx = db.begin().await?;
    anyhow::ensure!(queue::finish(&mut tx, job, Outcome::Done).await?, "the lease was lost");
    store::build::succeed(&mut tx, job.subject, "sha256:1").await?;
    Ok(tx.commit().await?)
}

//! The loop against a real PostgreSQL: what a handler is told, and what becomes of its job.

use tokio::sync::mpsc;
use uuid::Uuid;

use super::*;
use crate::queue::NewJob;
use crate::tests::somebody_waits;

async fn push(db: &PgPool) -> Uuid {
    let subject = Uuid::now_v7();
    let mut tx = db.begin().await.unwrap();
    queue::enqueue(&mut tx, NewJob::keyed(JobKind::Deploy, "env", subject)).await.unwrap();
    tx.commit().await.unwrap();
    wake(db, &[JobKind::Deploy]).await;
    subject
}

async fn states(db: &PgPool) -> Vec<(String, i32)> {
    sqlx::query_as("select state::text, attempt from job order by id").fetch_all(db).await.unwrap()
}

/// A worker whose handler reports what it was told, and ends its job accordingly.
fn spawn(
    db: &PgPool,
    shutdown: &CancellationToken,
) -> (JoinSet<Result<()>>, mpsc::UnboundedReceiver<Uuid>, mpsc::UnboundedReceiver<Stop>) {
    let (began, begins) = mpsc::unbounded_channel();
    let (told, tells) = mpsc::unbounded_channel();
    let pool = db.clone();
    let handle = move |held: Held| {
        let (began, told, db) = (began.clone(), told.clone(), pool.clone());
        async move {
            began.send(held.job.subject)?;
            let stop = held.stopped().await;
            let outcome = if stop == Stop::Shutdown { Outcome::HandBack } else { Outcome::Cancelled };
            let mut tx = db.begin().await?;
            queue::finish(&mut tx, &held.job, outcome).await?;
            tx.commit().await?;
            Ok(told.send(stop)?)
        }
    };
    let worker = Worker { kinds: &[JobKind::Deploy], owner: "w".into(), slots: 2 };
    let mut tasks = JoinSet::new();
    tasks.spawn(run(db.clone(), worker, shutdown.clone(), handle));
    (tasks, begins, tells)
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_newer_subject_stops_the_running_handler(db: PgPool) {
    let shutdown = CancellationToken::new();
    let (_tasks, mut begins, mut tells) = spawn(&db, &shutdown);
    let first = push(&db).await;
    assert_eq!(begins.recv().await, Some(first));
    let second = push(&db).await;
    assert_eq!(tells.recv().await, Some(Stop::Cancelled));
    assert_eq!(begins.recv().await, Some(second));
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn shutdown_hands_the_job_back_uncounted(db: PgPool) {
    let shutdown = CancellationToken::new();
    let (mut tasks, mut begins, mut tells) = spawn(&db, &shutdown);
    push(&db).await;
    begins.recv().await;
    shutdown.cancel();
    assert_eq!(tells.recv().await, Some(Stop::Shutdown));
    assert!(tasks.join_next().await.unwrap().unwrap().is_ok());
    assert_eq!(states(&db).await, [("queued".to_owned(), 0)]);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_lost_lease_is_told(db: PgPool) {
    let shutdown = CancellationToken::new();
    let (_tasks, mut begins, mut tells) = spawn(&db, &shutdown);
    push(&db).await;
    begins.recv().await;
    let taken_over = "update job set lease = gen_random_uuid(), lease_until = now() + interval '1 hour'";
    sqlx::query(taken_over).execute(&db).await.unwrap();
    assert_eq!(tells.recv().await, Some(Stop::Lost));
    assert_eq!(states(&db).await, [("running".to_owned(), 1)], "the new holder's job is left alone");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn an_error_is_tried_again(db: PgPool) {
    let (began, mut begins) = mpsc::unbounded_channel();
    let handle = move |held: Held| {
        let began = began.clone();
        async move {
            began.send(held.job.attempt)?;
            anyhow::bail!("the database was away")
        }
    };
    let shutdown = CancellationToken::new();
    let worker = Worker { kinds: &[JobKind::Deploy], owner: "w".into(), slots: 1 };
    let mut tasks = JoinSet::new();
    tasks.spawn(run(db.clone(), worker, shutdown.clone(), handle));
    push(&db).await;
    assert_eq!(begins.recv().await, Some(1));
    assert_eq!(begins.recv().await, Some(2), "after its back-off");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn rings_for_other_kinds_are_not_its_own(db: PgPool) {
    let mut listener = Listener::new(db.clone(), Channel::Job);
    // Until it listens.
    while listener.wait(Duration::from_secs(1)).await.is_none() {
        bell::ring(&db, Channel::Job, "first").await;
    }
    wake(&db, &[JobKind::Report, JobKind::Deploy, JobKind::Resolve]).await;
    rung(&mut listener, &[JobKind::Build, JobKind::Deploy]).await;
    assert_eq!(listener.next().await, JobKind::Resolve.as_str());
}

/// Else a wish to stop that the beat did not see, and whose ring came before the beat's end, would wait for the next tick.
#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_ring_during_a_beat_leads_to_another(db: PgPool) {
    push(&db).await;
    let job = queue::claim(&db, &[JobKind::Deploy], "w", LEASE).await.unwrap().unwrap();
    sqlx::raw_sql(
        "create sequence beats;
         create table gate as select 1;
         create function slow() returns trigger language plpgsql as
            $$ begin perform nextval('beats'); perform from gate for update; return new; end $$;
         create trigger slow before update on job for each row execute function slow();",
    )
    .execute(&db)
    .await
    .unwrap();
    let mut closed = db.begin().await.unwrap();
    sqlx::query("select from gate for update").execute(&mut *closed).await.unwrap();
    let (rings, mut rung) = watch::channel(());
    let (stop, _) = watch::channel(None);
    let shutdown = CancellationToken::new();
    let never = Duration::from_secs(3600);
    let beating = beat(&db, &job, never, &mut rung, &shutdown, &stop);
    let twice = async {
        somebody_waits(&db).await;
        rings.send_replace(());
        closed.rollback().await.unwrap();
        while sqlx::query_scalar::<_, i64>("select last_value from beats").fetch_one(&db).await.unwrap() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        never = beating => match never {},
        twice = tokio::time::timeout(Duration::from_secs(60), twice) => twice.expect("one beat only"),
    }
}

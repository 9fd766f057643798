//! Everybody at one environment at once.

use super::*;

/// Builders, deployers, deletions of the branch and the look for what is due, all at one environment: nobody waits for
/// what waits for him, and in the end the environment is gone.
#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn everybody_takes_the_locks_in_one_order(db: PgPool) {
    let app = demo(&db).await;
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn({
        let (db, app) = (db.clone(), app.clone());
        async move {
            for round in 0..60 {
                let build = pushed(&db, &app, "feature", if round % 2 == 0 { 'a' } else { 'b' }).await;
                if let Some(job) = claim(&db, JobKind::Build).await {
                    assert_eq!(job.subject, build.id);
                    build_or_stop(&db, &job, &build).await;
                }
            }
        }
    });
    for _ in 0..2 {
        let db = db.clone();
        tasks.spawn(async move {
            for _ in 0..150 {
                deploy(&db).await;
            }
        });
    }
    tasks.spawn({
        let (db, app) = (db.clone(), app.clone());
        async move {
            for _ in 0..60 {
                delete_branch(&db, &app, "feature").await;
                for id in due(&db).await {
                    ask_due(&db, id).await;
                }
                tokio::task::yield_now().await;
            }
        }
    });
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    delete_branch(&db, &app, "feature").await;
    for id in due(&db).await {
        ask_due(&db, id).await;
    }
    while deploy(&db).await {}
    assert!(list(&db, app.id).await.unwrap().is_empty());
}

/// A build that was cancelled meanwhile ends without a release.
async fn build_or_stop(db: &PgPool, job: &Job, build: &Build) {
    if queue::beat(db, job, LEASE).await.unwrap() == Beat::Held {
        release_unless_cancelled(db, job, build, None).await;
    } else {
        let mut tx = db.begin().await.unwrap();
        assert!(queue::finish(&mut tx, job, Outcome::Cancelled).await.unwrap());
        build::stop(&mut tx, build).await.unwrap();
        tx.commit().await.unwrap();
    }
}

/// One turn of a deployer whose cluster does everything at once. `false`: there was nothing to do.
async fn deploy(db: &PgPool) -> bool {
    let Some(job) = claim(db, JobKind::Deploy).await else { return false };
    match release::get(db, job.subject).await.unwrap() {
        Some(release) => {
            let mut conn = db.acquire().await.unwrap();
            let started = release::start(&mut conn, release.id, &serde_json::json!([])).await.unwrap();
            drop(conn);
            assert_eq!(end_live(db, &job, &release).await, started);
        }
        None if begin(db, &job).await => assert!(end(db, &job).await),
        None => finish(db, &job, Outcome::Done).await,
    }
    true
}

async fn delete_branch(db: &PgPool, app: &App, name: &str) {
    let Some(branch) = branch::by_name(db, app.id, name).await.unwrap() else { return };
    let mut tx = db.begin().await.unwrap();
    branch::delete(&mut tx, branch.id).await.unwrap();
    for environment in of_branch(&mut tx, branch.id).await.unwrap() {
        ask_removal(&mut tx, environment.id).await.unwrap();
    }
    tx.commit().await.unwrap();
}

//! Which branches polling asks about.

use domain::forge_kind::ForgeKind;
use domain::job::JobKind;
use sqlx::PgPool;
use store::queue::Outcome;

use super::{app_at, claim, demo, jobs};
use crate::poll::poll;

async fn age(db: &PgPool, seconds: i32) {
    sqlx::query("update branch set resolved_at = now() - make_interval(secs => $1)")
        .bind(f64::from(seconds))
        .execute(db)
        .await
        .unwrap();
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_new_application_is_asked_about_once(db: PgPool) {
    let (app, _) = demo(&db).await;
    assert_eq!(poll(&db, 180).await.unwrap(), 1);
    assert_eq!((poll(&db, 180).await.unwrap(), jobs(&db).await), (0, 1), "the question is queued already");
    let job = claim(&db, JobKind::Resolve).await.unwrap();
    let branch = store::branch::get(&db, job.subject).await.unwrap().unwrap();
    assert_eq!((branch.app_id, branch.name.as_str()), (app.id, "main"));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_branch_is_due_after_the_time_of_its_forge(db: PgPool) {
    demo(&db).await;
    poll(&db, 180).await.unwrap();
    let job = claim(&db, JobKind::Resolve).await.unwrap();
    crate::finish(&db, &job, Outcome::Done).await.unwrap();
    age(&db, 100).await;
    assert_eq!(poll(&db, 180).await.unwrap(), 0);
    age(&db, 200).await;
    assert_eq!(poll(&db, 180).await.unwrap(), 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn gogs_is_asked_each_minute(db: PgPool) {
    app_at(&db, ForgeKind::Gogs, "http://forge.example/slip/demo.git").await;
    poll(&db, 180).await.unwrap();
    let job = claim(&db, JobKind::Resolve).await.unwrap();
    crate::finish(&db, &job, Outcome::Done).await.unwrap();
    age(&db, 50).await;
    assert_eq!(poll(&db, 180).await.unwrap(), 0);
    age(&db, 70).await;
    assert_eq!(poll(&db, 180).await.unwrap(), 1);
}

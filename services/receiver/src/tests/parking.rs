//! Git is started when a client asks what there is, and takes the push that follows.

use std::time::Duration;

use sqlx::PgPool;

use super::count;
use super::limits::Pushed;

const LONG: Duration = Duration::from_secs(60);

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_push_goes_to_the_git_that_was_started_for_it(db: PgPool) {
    let pushed = Pushed::new(&db).await;
    let (went_well, said) = pushed.push(&["main"]).await;
    assert!(went_well, "{said}");
    let app = store::app::by_name(&db, "demo").await.unwrap().unwrap().id;
    assert!(!pushed.git.is_parked(app), "there was nothing to push to when it asked");

    pushed.git(&["commit", "--quiet", "--allow-empty", "--message=Second"]).await;
    let started = async {
        while !pushed.git.is_parked(app) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let asking = pushed.git(&["push", "--dry-run", "slipway", "main"]);
    let ((went_well, said), started) = tokio::join!(asking, tokio::time::timeout(LONG, started));
    assert!(went_well && started.is_ok(), "{said}");
    let (went_well, said) = pushed.push(&["main"]).await;
    assert!(went_well, "{said}");
    assert!(!pushed.git.is_parked(app));
    assert_eq!(count(&db, "select count(*) from build where state = 'queued'").await, 1);
    assert_eq!(count(&db, "select count(*) from build").await, 2);
}

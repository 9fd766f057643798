//! How removals and releases give way to each other, and what a removal leaves.

use super::*;

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_removal_leaves_the_builds_and_nothing_else(db: PgPool) {
    let app = demo(&db).await;
    let (main, _) = live(&db, &app, "main", 'a').await;
    let (feature, release) = live(&db, &app, "feature", 'b').await;
    assert!(head(&db, release.build_id).await.is_some());
    assert!(ask(&db, feature.id).await);
    assert!(!ask(&db, feature.id).await, "once is enough");
    assert_eq!(all_named(&db).await.unwrap().len(), 1, "by its host it is gone at once");

    let job = claim(&db, JobKind::Deploy).await.unwrap();
    assert_eq!(job.subject, feature.id);
    assert!(begin(&db, &job).await);
    assert_eq!(state(&db, &release).await, Some(ReleaseState::Replaced));
    assert_eq!(head(&db, release.build_id).await, None, "the same commit can be pushed again");
    assert!(end(&db, &job).await);

    let left: Vec<Uuid> = list(&db, app.id).await.unwrap().iter().map(|it| it.id).collect();
    assert_eq!(left, [main.id]);
    assert!(release::get(&db, release.id).await.unwrap().is_none());
    assert_eq!(build::get(&db, release.build_id).await.unwrap().unwrap().state.0, BuildState::Succeeded);
    assert!(release::live_of(&db, main.id).await.unwrap().is_some());
    assert!(!ask(&db, feature.id).await, "there is nothing left to remove");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_release_that_waits_gives_way(db: PgPool) {
    let app = demo(&db).await;
    let (feature, release) = released(&db, &app, "feature", 'a').await;
    assert!(ask(&db, feature.id).await);
    assert_eq!(state(&db, &release).await, Some(ReleaseState::Superseded));
    assert_eq!(claim(&db, JobKind::Deploy).await.unwrap().subject, feature.id);
    assert!(claim(&db, JobKind::Deploy).await.is_none());
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_roll_out_is_stopped_and_waited_for(db: PgPool) {
    let app = demo(&db).await;
    let (feature, release) = released(&db, &app, "feature", 'a').await;
    let rolling = claim(&db, JobKind::Deploy).await.unwrap();
    start(&db, &release).await;
    assert!(ask(&db, feature.id).await);
    assert_eq!(queue::beat(&db, &rolling, LEASE).await.unwrap(), Beat::CancelRequested);
    assert!(claim(&db, JobKind::Deploy).await.is_none(), "one at a time");
    // It was quicker than the request to stop.
    assert!(end_live(&db, &rolling, &release).await);
    let job = claim(&db, JobKind::Deploy).await.unwrap();
    assert!(begin(&db, &job).await);
    assert_eq!(head(&db, release.build_id).await, None);
    assert!(end(&db, &job).await);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_deployer_that_died_leaves_no_release_behind(db: PgPool) {
    let app = demo(&db).await;
    let (feature, release) = released(&db, &app, "feature", 'a').await;
    queue::claim(&db, &[JobKind::Deploy], "w", std::time::Duration::ZERO).await.unwrap().unwrap();
    start(&db, &release).await;
    assert!(ask(&db, feature.id).await);
    assert_eq!(queue::sweep(&db).await.unwrap(), 1);
    let job = claim(&db, JobKind::Deploy).await.unwrap();
    assert_eq!(job.subject, feature.id);
    assert!(begin(&db, &job).await);
    assert_eq!(state(&db, &release).await, Some(ReleaseState::Superseded));
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_release_takes_back_a_removal_that_waits(db: PgPool) {
    let app = demo(&db).await;
    let (feature, first) = live(&db, &app, "feature", 'a').await;
    assert!(ask(&db, feature.id).await);
    let (same, second) = released(&db, &app, "feature", 'b').await;
    assert_eq!((same.id, same.removal_asked_at.is_none()), (feature.id, true));
    let job = claim(&db, JobKind::Deploy).await.unwrap();
    assert_eq!(job.subject, second.id);
    assert_eq!(state(&db, &first).await, Some(ReleaseState::Live), "the former version serves meanwhile");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_release_waits_for_a_removal_that_has_begun(db: PgPool) {
    let app = demo(&db).await;
    let (feature, first) = live(&db, &app, "feature", 'a').await;
    assert!(ask(&db, feature.id).await);
    let removing = claim(&db, JobKind::Deploy).await.unwrap();
    assert!(begin(&db, &removing).await);
    let (same, second) = released(&db, &app, "feature", 'a').await;
    assert_eq!((same.id, second.version), (feature.id, 2));
    assert!(claim(&db, JobKind::Deploy).await.is_none(), "one at a time");
    // Its next attempt gives way, ...
    assert!(!begin(&db, &removing).await, "it was taken back");
    assert_eq!(state(&db, &first).await, Some(ReleaseState::Replaced));
    // ... and so does its end.
    assert!(end(&db, &removing).await);
    assert_eq!(claim(&db, JobKind::Deploy).await.unwrap().subject, second.id);
    assert_eq!(state(&db, &second).await, Some(ReleaseState::Queued));
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn an_attempt_that_comes_back_later_yields_to_a_release(db: PgPool) {
    let app = demo(&db).await;
    let (feature, _) = live(&db, &app, "feature", 'a').await;
    assert!(ask(&db, feature.id).await);
    let removing = claim(&db, JobKind::Deploy).await.unwrap();
    assert!(begin(&db, &removing).await);
    let (_, second) = released(&db, &app, "feature", 'b').await;
    finish(&db, &removing, Outcome::Retry { error: "x", delay: LEASE }).await;
    assert_eq!(claim(&db, JobKind::Deploy).await.unwrap().subject, second.id);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn who_lost_the_lease_removes_nothing(db: PgPool) {
    let app = demo(&db).await;
    let (feature, release) = live(&db, &app, "feature", 'a').await;
    assert!(ask(&db, feature.id).await);
    let lost = queue::claim(&db, &[JobKind::Deploy], "w", std::time::Duration::ZERO).await.unwrap().unwrap();
    assert_eq!(queue::sweep(&db).await.unwrap(), 1);
    assert!(!begin(&db, &lost).await);
    assert!(!end(&db, &lost).await);
    assert_eq!(state(&db, &release).await, Some(ReleaseState::Live));
    assert!(head(&db, release.build_id).await.is_some());
}

//! When environments go by themselves, and what is stopped for them.

use super::*;

async fn let_expire(db: &PgPool, id: Uuid) {
    sqlx::query("update environment set expires_at = now() - interval '1 s' where id = $1")
        .bind(id)
        .execute(db)
        .await
        .unwrap();
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn the_newest_build_says_how_long_it_stays(db: PgPool) {
    let app = demo(&db).await;
    let mut stays = Vec::new();
    for (commit, ttl_seconds) in [('a', Some(3600)), ('b', None), ('c', Some(60))] {
        let build = pushed(&db, &app, "feature", commit).await;
        let job = claim(&db, JobKind::Build).await.unwrap();
        let (environment, _) = release_of(&db, &job, &build, ttl_seconds).await;
        let left = environment.expires_at.map(|at| at.0.duration_since(jiff::Timestamp::now()).as_secs());
        stays.push(left.map(|seconds| (seconds + 60) / 60));
        assert_eq!(due(&db).await, [] as [Uuid; 0]);
    }
    // Minutes, rounded up: neither clock need be exact.
    assert!(matches!(stays[..], [Some(59..=61), None, Some(0..=2)]), "{stays:?}");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn what_has_expired_goes_unless_something_is_being_built_for_it(db: PgPool) {
    let app = demo(&db).await;
    let (feature, _) = live(&db, &app, "feature", 'a').await;
    assert!(due(&db).await.is_empty());
    let_expire(&db, feature.id).await;
    assert_eq!(due(&db).await, [feature.id]);
    let build = pushed(&db, &app, "feature", 'b').await;
    assert!(due(&db).await.is_empty());
    assert!(!ask_due(&db, feature.id).await, "it is asked again when it is acted upon");
    build::cancel::ask(&mut db.acquire().await.unwrap(), &build, "ada").await.unwrap();
    assert!(ask_due(&db, feature.id).await);
    assert!(due(&db).await.is_empty(), "its removal is queued");
    assert_eq!(claim(&db, JobKind::Deploy).await.unwrap().subject, feature.id);
    assert!(due(&db).await.is_empty(), "its removal runs");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn environments_of_a_branch_that_is_gone_go_but_for_main(db: PgPool) {
    let app = demo(&db).await;
    let (main, release) = live(&db, &app, "main", 'a').await;
    let (feature, _) = live(&db, &app, "feature", 'b').await;
    let mut conn = db.acquire().await.unwrap();
    for environment in [&main, &feature] {
        branch::delete(&mut conn, environment.branch_id).await.unwrap();
    }
    assert_eq!(head(&db, release.build_id).await, None);
    assert_eq!(of_branch(&mut conn, feature.branch_id).await.unwrap()[0].id, feature.id);
    assert_eq!(due(&db).await, [feature.id]);
    assert!(ask_due(&db, feature.id).await && !ask_due(&db, main.id).await);
    assert!(ask(&db, main.id).await, "whoever asks for it may have it removed");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_question_that_was_lost_is_asked_again(db: PgPool) {
    let app = demo(&db).await;
    let (feature, _) = live(&db, &app, "feature", 'a').await;
    assert!(ask(&db, feature.id).await);
    let job = claim(&db, JobKind::Deploy).await.unwrap();
    finish(&db, &job, Outcome::Cancelled).await;
    assert_eq!(due(&db).await, [feature.id]);
    assert!(ask_due(&db, feature.id).await);
    assert_eq!(claim(&db, JobKind::Deploy).await.unwrap().subject, feature.id);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn builds_for_one_environment_are_stopped(db: PgPool) {
    let app = demo(&db).await;
    let running = pushed(&db, &app, "feature", 'a').await;
    let job = claim(&db, JobKind::Build).await.unwrap();
    assert!(build::start(&mut db.acquire().await.unwrap(), running.id, 1).await.unwrap());
    let other = pushed(&db, &app, "other", 'b').await;
    let mut tx = db.begin().await.unwrap();
    build::cancel::of_environment(&mut tx, app.id, "feature", "ada").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(queue::beat(&db, &job, LEASE).await.unwrap(), Beat::CancelRequested);

    // It waits for its second attempt, as others wait for their first.
    finish(&db, &job, Outcome::HandBack).await;
    let mut tx = db.begin().await.unwrap();
    build::cancel::of_environment(&mut tx, app.id, "feature", "eve").await.unwrap();
    tx.commit().await.unwrap();
    let mut states = Vec::new();
    for build in [&running, &other] {
        states.push(build::get(&db, build.id).await.unwrap().unwrap().state.0);
    }
    assert_eq!(states, [BuildState::Cancelled, BuildState::Queued]);
    assert_eq!(claim(&db, JobKind::Build).await.unwrap().subject, other.id);
}

//! The statements against a real PostgreSQL, along the way of one commit.

use std::time::Duration;

use domain::forge_kind::ForgeKind;
use domain::job::JobKind;
use domain::reason::{Reason, ReasonCode};
use domain::state::{BuildState, ReleaseState};
use domain::verdict::Verdict;
use sqlx::PgPool;
use uuid::Uuid;

use crate::app::{App, NewApp};
use crate::build::Build;
use crate::delivery::NewDelivery;
use crate::environment::{Environment, NewEnvironment};
use crate::log::{Batch, Lines, Logs, StepUpdate};
use crate::queue::{Job, Outcome};
use crate::release::{NewRelease, Release};
use crate::{answer, app, branch, build, delivery, environment, log, push, queue, release, worker};

/// Waits until somebody waits for a lock on a row.
pub(crate) async fn somebody_waits(db: &PgPool) {
    let waits = "select exists(select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')";
    let asking = async {
        while !sqlx::query_scalar::<_, bool>(waits).fetch_one(db).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), asking).await.expect("nobody waits");
}

async fn demo(db: &PgPool) -> App {
    let new = NewApp {
        name: "demo",
        forge: Some(app::Forge {
            kind: ForgeKind::Gitea,
            repo_url: "http://forge.example/slip/demo.git".to_owned(),
            user: None,
            token: None,
            api_url: None,
        }),
        default_branch: "main",
        dockerfile: "Dockerfile",
        context: "",
        target: None,
        port: Some(8080),
        health_path: "/",
    };
    let mut conn = db.acquire().await.unwrap();
    let app = app::create(&mut conn, &new).await.unwrap().unwrap();
    assert!(app::create(&mut conn, &new).await.unwrap().is_none(), "the name is taken");
    app
}

async fn pushed(db: &PgPool, app: &App, commit: char) -> Build {
    let mut tx = db.begin().await.unwrap();
    let main = branch::touch(&mut tx, app.id, "main").await.unwrap();
    let build = push::record(&mut tx, &main, &commit.to_string().repeat(40)).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    build
}

async fn claimed(db: &PgPool, kind: JobKind) -> Job {
    queue::claim(db, &[kind], "w", worker::LEASE).await.unwrap().unwrap()
}

async fn state(db: &PgPool, build: &Build) -> BuildState {
    build::get(db, build.id).await.unwrap().unwrap().state.0
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_moved_branch_is_recorded_once(db: PgPool) {
    let app = demo(&db).await;
    let mut tx = db.begin().await.unwrap();
    let seen = branch::touch(&mut tx, app.id, "main").await.unwrap();
    assert!(push::record(&mut tx, &seen, &"a".repeat(40)).await.unwrap().is_some());
    assert!(
        push::record(&mut tx, &seen, &"a".repeat(40)).await.unwrap().is_none(),
        "the compare-and-set holds"
    );
    tx.commit().await.unwrap();
    assert_eq!(build::list(&db, app.id, None, 10).await.unwrap().len(), 1);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn newer_builds_supersede_queued_ones_and_stop_the_running_one(db: PgPool) {
    let app = demo(&db).await;
    let first = pushed(&db, &app, 'a').await;
    let job = claimed(&db, JobKind::Build).await;
    assert_eq!(job.subject, first.id);
    let mut conn = db.acquire().await.unwrap();
    assert!(build::start(&mut conn, first.id, job.attempt).await.unwrap());
    let second = pushed(&db, &app, 'b').await;
    let third = pushed(&db, &app, 'c').await;
    assert_eq!((first.number, second.number, third.number), (1, 2, 3));
    assert_eq!(state(&db, &second).await, BuildState::Superseded);
    assert_eq!(queue::beat(&db, &job, worker::LEASE).await.unwrap(), queue::Beat::CancelRequested);
    assert!(build::stop(&mut conn, &first).await.unwrap());
    let first = build::get(&db, first.id).await.unwrap().unwrap();
    assert_eq!((first.state.0, first.superseded_by), (BuildState::Superseded, Some(third.id)));
    assert!(!build::succeed(&mut conn, first.id, "sha256:1").await.unwrap(), "an ended build stays ended");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_failed_build_keeps_its_reason(db: PgPool) {
    let app = demo(&db).await;
    let build = pushed(&db, &app, 'a').await;
    let reason =
        Reason::new(ReasonCode::StepFailed, "npm run build exited with 3").with_lines(vec!["boom".into()]);
    let mut conn = db.acquire().await.unwrap();
    build::describe(&mut conn, build.id, "Add a page", "Ada").await.unwrap();
    assert!(build::fail(&mut conn, build.id, &reason).await.unwrap());
    let build = build::by_number(&db, app.id, 1).await.unwrap().unwrap();
    assert_eq!(build.reason.unwrap().0, reason);
    assert_eq!(build.subject.as_deref(), Some("Add a page"));
    assert!(build.finished_at.is_some());
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn the_log_has_no_holes_and_reads_from_any_line(db: PgPool) {
    let app = demo(&db).await;
    let build = pushed(&db, &app, 'a').await;
    let job = claimed(&db, JobKind::Build).await;
    let step = StepUpdate {
        number: 1,
        attempt: 1,
        name: "RUN npm ci".into(),
        cached: false,
        error: None,
        started_at: Some(jiff::Timestamp::UNIX_EPOCH),
        completed_at: None,
        inputs: vec![],
    };
    for n in 0..5 {
        let lines = Lines::of(1, (0..100).map(|i| format!("line {}", n * 100 + i)));
        let batch = Batch {
            steps: std::slice::from_ref(&step),
            chunks: &[lines.pack().unwrap()],
            ..Batch::default()
        };
        assert!(log::append(&db, &job, build.id, &batch).await.unwrap());
    }
    assert_eq!(log::line_count(&db, build.id).await.unwrap(), 500);
    let logs = Logs { db: db.clone(), archive: None };
    for from in [0, 1, 99, 100, 250, 499] {
        let lines = log::read(&logs, build.id, from, 10_000).await.unwrap();
        let numbers: Vec<i64> = lines.iter().map(|line| line.number).collect();
        assert_eq!(numbers, (from..500).collect::<Vec<_>>());
        assert_eq!(lines[0].text, format!("line {from}"));
    }
    assert!(log::read(&logs, build.id, 500, 10).await.unwrap().is_empty());
    let (mut numbers, mut pages, mut from) = (Vec::new(), 0, 0);
    loop {
        let page = log::page(&logs, build.id, from, 1500).await.unwrap();
        assert!(page.lines.len() <= 200, "about so much text as was asked for");
        numbers.extend(page.lines.iter().map(|line| line.number));
        from = numbers.last().unwrap() + 1;
        pages += 1;
        if page.is_last {
            break;
        }
    }
    assert_eq!((numbers, pages), ((0..500).collect::<Vec<_>>(), 3));
    let after = log::page(&logs, build.id, from, 1500).await.unwrap();
    assert!(after.is_last && after.lines.is_empty());
    assert_eq!(log::steps(&db, build.id).await.unwrap().len(), 1);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_lost_lease_writes_no_line(db: PgPool) {
    let app = demo(&db).await;
    let build = pushed(&db, &app, 'a').await;
    let lost = queue::claim(&db, &[JobKind::Build], "w", Duration::ZERO).await.unwrap().unwrap();
    queue::sweep(&db).await.unwrap();
    let batch = Batch { chunks: &[Lines::of(0, ["late"]).pack().unwrap()], ..Batch::default() };
    assert!(!log::append(&db, &lost, build.id, &batch).await.unwrap());
    assert_eq!(log::line_count(&db, build.id).await.unwrap(), 0);
}

async fn released(db: &PgPool, app: &App, env: &Environment, commit: char) -> Release {
    let build = pushed(db, app, commit).await;
    let mut tx = db.begin().await.unwrap();
    build::record_image(&mut tx, &build, "registry/apps/demo", "sha256:1", 42).await.unwrap();
    let new =
        NewRelease { build_id: build.id, image: "registry/apps/demo@sha256:1", port: 8080, health_path: "/" };
    let release = release::create(&mut tx, env, &new).await.unwrap();
    tx.commit().await.unwrap();
    release
}

async fn main_env(db: &PgPool, app: &App) -> Environment {
    let mut conn = db.acquire().await.unwrap();
    let main = branch::touch(&mut conn, app.id, "main").await.unwrap();
    let new = NewEnvironment {
        app_id: app.id,
        branch_id: main.id,
        name: "main",
        namespace: "env-demo--main",
        ttl_seconds: None,
    };
    let first = environment::ensure(&mut conn, &new).await.unwrap();
    let again = environment::ensure(&mut conn, &new).await.unwrap();
    assert_eq!(first.id, again.id);
    first
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn one_release_is_live(db: PgPool) {
    let app = demo(&db).await;
    let env = main_env(&db, &app).await;
    let manifests = serde_json::json!([]);
    let mut conn = db.acquire().await.unwrap();
    let mut live = Vec::new();
    for commit in ['a', 'b'] {
        let release = released(&db, &app, &env, commit).await;
        assert!(!release::make_live(&mut conn, &release).await.unwrap(), "only what rolls becomes live");
        assert!(release::start(&mut conn, release.id, &manifests).await.unwrap());
        assert!(release::make_live(&mut conn, &release).await.unwrap());
        live.push(release.id);
    }
    let states: Vec<_> =
        release::list(&db, env.id, 10).await.unwrap().iter().map(|r| (r.version, r.state.0)).collect();
    assert_eq!(states, [(2, ReleaseState::Live), (1, ReleaseState::Replaced)]);
    assert_eq!(release::live_of(&db, env.id).await.unwrap().unwrap().id, live[1]);
    let failing = released(&db, &app, &env, 'c').await;
    assert!(release::fail(&mut conn, failing.id, &Reason::new(ReasonCode::NeverReady, "x")).await.unwrap());
    assert!(!release::supersede(&mut conn, failing.id).await.unwrap());
    assert_eq!(
        release::live_of(&db, env.id).await.unwrap().unwrap().id,
        live[1],
        "the former version still serves"
    );
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_release_that_lost_its_job_gives_way_to_the_next(db: PgPool) {
    let app = demo(&db).await;
    let env = main_env(&db, &app).await;
    let manifests = serde_json::json!([]);
    let first = released(&db, &app, &env, 'a').await;
    let job = claimed(&db, JobKind::Deploy).await;
    let mut conn = db.acquire().await.unwrap();
    assert!(release::start(&mut conn, first.id, &manifests).await.unwrap());
    // Its deployer shuts down, and a newer release takes the place in the lane.
    assert!(queue::finish(&mut conn, &job, Outcome::HandBack).await.unwrap());
    let second = released(&db, &app, &env, 'b').await;
    assert_eq!(claimed(&db, JobKind::Deploy).await.subject, second.id);
    assert!(release::start(&mut conn, second.id, &manifests).await.unwrap());
    let state = release::get(&db, first.id).await.unwrap().unwrap().state.0;
    assert_eq!(state, ReleaseState::Superseded);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn queued_releases_give_way_to_newer_ones(db: PgPool) {
    let app = demo(&db).await;
    let env = main_env(&db, &app).await;
    let older = released(&db, &app, &env, 'a').await;
    let newer = released(&db, &app, &env, 'b').await;
    assert_eq!(release::get(&db, older.id).await.unwrap().unwrap().state.0, ReleaseState::Superseded);
    assert_eq!(claimed(&db, JobKind::Deploy).await.subject, newer.id);
    assert_eq!(release::of_build(&db, newer.build_id).await.unwrap().unwrap().version, 2);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn answers_of_living_routers(db: PgPool) {
    let app = demo(&db).await;
    let env = main_env(&db, &app).await;
    let release = released(&db, &app, &env, 'a').await;
    answer::beat(&db, "r1").await.unwrap();
    // However slow this is, it has beaten a moment ago.
    sqlx::query("update router set seen_at = now() + interval '1 hour'").execute(&db).await.unwrap();
    answer::record(&db, release.id, "pod", "r1").await.unwrap();
    answer::record(&db, release.id, "pod", "r1").await.unwrap();
    answer::record(&db, Uuid::now_v7(), "pod of a release that is gone", "r1").await.unwrap();
    assert_eq!(answer::routers_alive(&db).await.unwrap(), ["r1"]);
    assert_eq!(answer::of_release(&db, release.id).await.unwrap().len(), 1);
    answer::beat(&db, "r2").await.unwrap();
    answer::leave(&db, "r2").await.unwrap();
    assert_eq!(answer::routers_alive(&db).await.unwrap(), ["r1"]);
    sqlx::query("update router set seen_at = now() - interval '1 minute'").execute(&db).await.unwrap();
    assert!(answer::routers_alive(&db).await.unwrap().is_empty());
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn deliveries_count_once_and_refused_ones_are_bounded(db: PgPool) {
    let app = demo(&db).await;
    let hook = app::create_hook(&mut db.acquire().await.unwrap(), app.id, "secret").await.unwrap();
    assert_eq!(app::hook_of(&db, app.id).await.unwrap().unwrap().id, hook.id);
    let new = |verdict| NewDelivery {
        hook_id: hook.id,
        app_id: Some(app.id),
        delivery_key: Some("d1"),
        event: Some("push"),
        verdict,
        why: None,
        reference: Some("refs/heads/main"),
        commit: None,
        body_sha256: None,
        body_bytes: 3,
        trace_parent: None,
    };
    let mut conn = db.acquire().await.unwrap();
    let mut verdicts = Vec::new();
    for verdict in [Verdict::BadSignature, Verdict::Accepted, Verdict::Accepted] {
        verdicts.push(delivery::record(&mut conn, &new(verdict)).await.unwrap());
    }
    assert_eq!(verdicts, [Verdict::BadSignature, Verdict::Accepted, Verdict::Duplicate]);
    assert_eq!(delivery::list(&db, app.id, 10).await.unwrap().len(), 3);
    for _ in 0..1010 {
        delivery::record(&mut conn, &new(Verdict::BadSignature)).await.unwrap();
    }
    assert!(delivery::forget_refused(&db).await.unwrap() >= 10);
    assert!(delivery::list(&db, app.id, 5000).await.unwrap().iter().any(|d| d.verdict == "accepted"));
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn branches_fall_due_until_they_are_resolved(db: PgPool) {
    let app = demo(&db).await;
    let mut conn = db.acquire().await.unwrap();
    let main = branch::touch(&mut conn, app.id, "main").await.unwrap();
    assert_eq!(branch::due(&db, &["gitea"], 60).await.unwrap(), [main.id]);
    assert!(branch::due(&db, &["gogs"], 60).await.unwrap().is_empty());
    branch::enqueue_resolve(&mut conn, main.id).await.unwrap();
    assert!(branch::due(&db, &["gitea"], 60).await.unwrap().is_empty(), "it is asked already");
    let job = claimed(&db, JobKind::Resolve).await;
    branch::resolved(&mut conn, main.id).await.unwrap();
    queue::finish(&mut conn, &job, Outcome::Done).await.unwrap();
    assert!(branch::due(&db, &["gitea"], 60).await.unwrap().is_empty());
}

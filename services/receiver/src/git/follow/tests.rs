//! Builds on a real PostgreSQL, followed while a builder that is played here works on them, and after.

use std::pin::Pin;

use domain::job::JobKind;
use domain::reason::{Reason, ReasonCode};
use futures::StreamExt as _;
use store::app::{App, NewApp};
use store::bell::{Channel, ring};
use store::build::Build;
use store::environment::NewEnvironment;
use store::log::{Batch, Lines, StepUpdate};
use store::queue::{Job, Outcome};
use store::release::{NewRelease, Release};
use store::{queue, rings};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::*;

type Events = Pin<Box<dyn Stream<Item = Vec<Event>> + Send>>;

async fn app(db: &PgPool, name: &str) -> App {
    let mut conn = db.acquire().await.unwrap();
    store::app::create(&mut conn, &NewApp::pushed(name, "main")).await.unwrap().unwrap()
}

async fn pushed(db: &PgPool, app: &App, branch: &str, commit: char) -> Build {
    let mut tx = db.begin().await.unwrap();
    let branch = store::branch::touch(&mut tx, app.id, branch).await.unwrap();
    let build = store::push::record(&mut tx, &branch, &commit.to_string().repeat(40)).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    build
}

async fn claim(db: &PgPool, lease: Duration) -> Job {
    queue::claim(db, &[JobKind::Build], "w", lease).await.unwrap().unwrap()
}

async fn begin(db: &PgPool) -> Job {
    let job = claim(db, store::worker::LEASE).await;
    let mut conn = db.acquire().await.unwrap();
    assert!(store::build::start(&mut conn, job.subject, job.attempt).await.unwrap());
    ring(db, Channel::Build, &job.subject.to_string()).await;
    job
}

/// A step of the job's attempt with lines of its own.
async fn write(db: &PgPool, job: &Job, number: i32, is_completed: bool, lines: &[&str]) {
    let at = jiff::Timestamp::UNIX_EPOCH;
    let step = StepUpdate {
        number,
        attempt: job.attempt,
        name: format!("[{number}/4] RUN step {number}"),
        cached: false,
        error: None,
        started_at: Some(at),
        completed_at: is_completed.then_some(at),
        inputs: Vec::new(),
    };
    let chunks: &[_] = if lines.is_empty() { &[] } else { &[Lines::of(number, lines).pack().unwrap()] };
    let batch = Batch { steps: &[step], chunks, ..Batch::default() };
    assert!(store::log::append(db, job, job.subject, &batch).await.unwrap());
    ring(db, Channel::Build, &job.subject.to_string()).await;
}

async fn succeed(db: &PgPool, job: &Job, build: &Build) -> Release {
    let mut tx = db.begin().await.unwrap();
    assert!(queue::finish(&mut tx, job, Outcome::Done).await.unwrap());
    assert!(store::build::succeed(&mut tx, build.id, "sha256:1").await.unwrap());
    store::build::record_image(&mut tx, build, "registry/demo", "sha256:1", 42).await.unwrap();
    let namespace = format!("env-{}", build.app_id);
    let env = NewEnvironment {
        app_id: build.app_id,
        branch_id: build.branch_id,
        name: &build.environment,
        namespace: &namespace,
        ttl_seconds: None,
    };
    let env = store::environment::ensure(&mut tx, &env).await.unwrap();
    let new =
        NewRelease { build_id: build.id, image: "registry/demo@sha256:1", port: 8080, health_path: "/" };
    let release = store::release::create(&mut tx, &env, &new).await.unwrap();
    tx.commit().await.unwrap();
    ring(db, Channel::Build, &build.id.to_string()).await;
    release
}

async fn roll(db: &PgPool, release: &Release) {
    let mut conn = db.acquire().await.unwrap();
    assert!(store::release::start(&mut conn, release.id, &serde_json::json!([])).await.unwrap());
}

async fn make_live(db: &PgPool, release: &Release) {
    assert!(store::release::make_live(&mut db.acquire().await.unwrap(), release).await.unwrap());
}

async fn fail(db: &PgPool, job: &Job, message: &str) {
    let mut tx = db.begin().await.unwrap();
    assert!(queue::finish(&mut tx, job, Outcome::Failed { error: message }).await.unwrap());
    let reason = Reason::new(ReasonCode::StepFailed, message);
    assert!(store::build::fail(&mut tx, job.subject, &reason).await.unwrap());
    tx.commit().await.unwrap();
}

fn word(event: &Event) -> String {
    match event {
        Event::Waits(it) => format!("waits {} of {}", it.position, it.waiting),
        Event::Builds => "builds".to_owned(),
        Event::StepBegan(step) => format!("+{}", step.number),
        Event::StepEnded(step) => format!("-{}", step.number),
        Event::Line { step, text } => format!("{step}: {text}"),
        Event::Built { image, .. } => format!("built {:?}", image.as_ref().map(|it| it.size_bytes)),
        Event::Release(it) => format!("v{} {}", it.version, if it.is_rolling { "rolls" } else { "waits" }),
        Event::DatabaseAway => "away".to_owned(),
        Event::DatabaseBack => "back".to_owned(),
        Event::End(end) => format!("end: {end:?}").split(" {").next().unwrap().to_owned(),
    }
}

fn following(db: &PgPool, rings: &Rings, build: &Build, wait: Wait) -> Events {
    Box::pin(follow(db.clone(), rings, build.id, wait))
}

async fn next_words(events: &mut Events) -> Vec<String> {
    events.next().await.expect("the stream goes on").iter().map(word).collect()
}

/// All that follows.
async fn rest(events: &mut Events) -> Vec<String> {
    let mut words = Vec::new();
    while let Some(batch) = events.next().await {
        words.extend(batch.iter().map(word));
    }
    words
}

/// All that there is to tell of a build that has ended.
async fn whole(db: &PgPool, build: &Build, wait: Wait) -> Vec<String> {
    rest(&mut following(db, &Rings::new(), build, wait)).await
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_push_is_told_as_it_happens(db: PgPool) {
    let rings = Rings::new();
    let mut listening = JoinSet::new();
    listening.spawn(rings::listen(db.clone(), rings.clone(), CancellationToken::new()));
    let other = pushed(&db, &app(&db, "other").await, "main", 'b').await;
    let build = pushed(&db, &app(&db, "demo").await, "main", 'a').await;
    let mut events = following(&db, &rings, &build, Wait::Live);
    let Event::Waits(standing) = &events.next().await.unwrap()[0] else { panic!() };
    assert_eq!((standing.position, standing.ahead[0].app.as_str()), (2, "other"));
    assert_eq!(standing.ahead[0].number, other.number);
    let _other = claim(&db, store::worker::LEASE).await;
    assert_eq!(next_words(&mut events).await, ["waits 1 of 1"]);
    let job = begin(&db).await;
    assert_eq!(next_words(&mut events).await, ["builds"]);
    write(&db, &job, 1, false, &["a"]).await;
    assert_eq!(next_words(&mut events).await, ["+1", "1: a"]);
    write(&db, &job, 1, true, &["b"]).await;
    write(&db, &job, 2, true, &[]).await;
    let mut seen = Vec::new();
    while seen.last().is_none_or(|last| last != "-2") {
        seen.extend(next_words(&mut events).await);
    }
    assert_eq!(seen, ["1: b", "-1", "+2", "-2"]);
    let release = succeed(&db, &job, &build).await;
    assert_eq!(next_words(&mut events).await, ["built Some(42)", "v1 waits"]);
    roll(&db, &release).await;
    assert_eq!(next_words(&mut events).await, ["v1 rolls"]);
    make_live(&db, &release).await;
    assert_eq!(rest(&mut events).await, ["end: Live"]);

    let story = ["builds", "+1", "1: a", "1: b", "-1", "+2", "-2", "built Some(42)", "v1 rolls", "end: Live"];
    assert_eq!(whole(&db, &build, Wait::Live).await, story, "who comes later reads the same");
    assert_eq!(whole(&db, &build, Wait::Built).await, [&story[..8], &["end: Built"][..]].concat());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_long_log_is_told_whole_and_in_pieces(db: PgPool) {
    let build = pushed(&db, &app(&db, "demo").await, "main", 'a').await;
    let job = begin(&db).await;
    let text = "x".repeat(100);
    for step in 1..=4 {
        for _ in 0..20 {
            write(&db, &job, step, true, &[text.as_str(); 250]).await;
        }
    }
    fail(&db, &job, "it failed").await;
    let mut events = following(&db, &Rings::new(), &build, Wait::Live);
    let mut words = Vec::new();
    while let Some(batch) = events.next().await {
        assert!(batch.len() < 2000, "{} events are held at once", batch.len());
        words.extend(batch.iter().map(word));
    }
    let mut expected = vec!["builds".to_owned()];
    for step in 1..=4 {
        expected.push(format!("+{step}"));
        expected.extend(std::iter::repeat_n(format!("{step}: {text}"), 5000));
        expected.push(format!("-{step}"));
    }
    expected.push("end: Failed(Reason".to_owned());
    assert!(words == expected, "{} events instead of {}", words.len(), expected.len());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_lost_builder_is_told_and_the_next_one_goes_on(db: PgPool) {
    let build = pushed(&db, &app(&db, "demo").await, "main", 'a').await;
    let mut events = following(&db, &Rings::new(), &build, Wait::Live);
    let lost = claim(&db, Duration::from_secs(1)).await;
    assert!(store::build::start(&mut db.acquire().await.unwrap(), build.id, 1).await.unwrap());
    write(&db, &lost, 1, false, &["a"]).await;
    assert_eq!(next_words(&mut events).await, ["builds", "+1", "1: a"]);
    while queue::sweep(&db).await.unwrap() == 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let batch = events.next().await.unwrap();
    let [Event::Waits(standing)] = &batch[..] else { panic!("{batch:?}") };
    assert_eq!(standing.error.as_deref(), Some("the worker's lease ran out"));
    assert_eq!((standing.attempt, standing.attempt_max), (1, 4));
    let job = begin(&db).await;
    write(&db, &job, 2, true, &["b"]).await;
    fail(&db, &job, "it failed").await;
    assert_eq!(rest(&mut events).await, ["builds", "+2", "2: b", "-2", "end: Failed(Reason"]);
    let story = ["builds", "+1", "1: a", "+2", "2: b", "-2", "end: Failed(Reason"];
    assert_eq!(whole(&db, &build, Wait::Live).await, story);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_took_its_place_is_named(db: PgPool) {
    let app = app(&db, "demo").await;
    let first = pushed(&db, &app, "main", 'a').await;
    let mut waiting = following(&db, &Rings::new(), &first, Wait::Live);
    assert_eq!(next_words(&mut waiting).await, ["waits 1 of 1"]);
    assert_eq!(whole(&db, &first, Wait::Queued).await, ["waits 1 of 1", "end: Queued"]);
    let second = pushed(&db, &app, "main", 'b').await;
    let ended = waiting.next().await.unwrap();
    assert!(matches!(ended[..], [Event::End(End::Superseded { by: Some(2) })]), "{ended:?}");
    assert!(waiting.next().await.is_none());

    let old = succeed(&db, &begin(&db).await, &second).await;
    let mut rolling = following(&db, &Rings::new(), &second, Wait::Live);
    assert_eq!(next_words(&mut rolling).await, ["builds", "built Some(42)", "v1 waits"]);
    let third = pushed(&db, &app, "main", 'c').await;
    let new = succeed(&db, &begin(&db).await, &third).await;
    let ended = rolling.next().await.unwrap();
    assert!(
        matches!(ended[..], [Event::End(End::ReleaseSuperseded { version: 1, by: Some(2) })]),
        "{ended:?}"
    );
    assert_eq!((old.version, new.version), (1, 2));

    roll(&db, &new).await;
    let reason = Reason::new(ReasonCode::CrashedOnStart, "it ended with exit code 1");
    assert!(store::release::fail(&mut db.acquire().await.unwrap(), new.id, &reason).await.unwrap());
    let told = whole(&db, &third, Wait::Live).await;
    assert_eq!(told, ["builds", "built Some(42)", "v2 rolls", "end: ReleaseFailed"]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn builds_that_never_began(db: PgPool) {
    let app = app(&db, "demo").await;
    let gone = pushed(&db, &app, "gone", 'a').await;
    let mut tx = db.begin().await.unwrap();
    store::branch::delete(&mut tx, gone.branch_id).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(whole(&db, &gone, Wait::Live).await, ["end: Cancelled"]);

    let build = pushed(&db, &app, "main", 'b').await;
    let mut events = following(&db, &Rings::new(), &build, Wait::Live);
    assert_eq!(next_words(&mut events).await, ["waits 1 of 1"]);
    sqlx::query("delete from app").execute(&db).await.unwrap();
    assert_eq!(rest(&mut events).await, ["end: Gone"]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_database_that_is_away_ends_nothing(db: PgPool) {
    let build = pushed(&db, &app(&db, "demo").await, "main", 'a').await;
    let job = begin(&db).await;
    let mut events = following(&db, &Rings::new(), &build, Wait::Live);
    assert_eq!(next_words(&mut events).await, ["builds"]);
    sqlx::query("alter table build rename to away").execute(&db).await.unwrap();
    // Long enough for a look that fails.
    assert!(timeout(Duration::from_secs(3), events.next()).await.is_err());
    sqlx::query("alter table away rename to build").execute(&db).await.unwrap();
    write(&db, &job, 1, true, &["a"]).await;
    fail(&db, &job, "it failed").await;
    assert_eq!(rest(&mut events).await, ["+1", "1: a", "-1", "end: Failed(Reason"]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_database_that_is_away_for_long_is_told_of_once(db: PgPool) {
    let mut follower = Follower {
        waiter: Rings::new().of(Uuid::nil()),
        db,
        build: Uuid::nil(),
        wait: Wait::Live,
        seen: Seen::default(),
        is_behind: false,
        away: None,
        is_over: false,
    };
    let told = |event: Option<Event>| event.as_ref().map(word);
    let now = Instant::now();
    assert_eq!(told(away(&mut follower, now)), None, "a short absence is nobody's business");
    assert_eq!(told(back(&mut follower)), None);
    let long_ago = now.checked_sub(AWAY_MIN).unwrap();
    assert_eq!(told(away(&mut follower, long_ago)).as_deref(), Some("away"));
    assert_eq!(told(away(&mut follower, now)), None);
    assert_eq!(told(back(&mut follower)).as_deref(), Some("back"));
    assert_eq!(told(back(&mut follower)), None);
}

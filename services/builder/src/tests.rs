//! Attempts against a real PostgreSQL: how they begin, what they write, how they end.

use buildkit::progress::{Event, Line, Step};
use domain::forge_kind::ForgeKind;
use domain::garbage::Policy;
use domain::job::JobKind;
use domain::reason::{Reason, ReasonCode};
use domain::state::BuildState;
use redact::Redactor;
use sqlx::PgPool;
use std::time::Duration;
use store::app::{App, Forge, NewApp};
use store::build::Build;
use store::cache::Exported;
use store::garbage::Counts;
use store::queue::{self, Job};
use store::setting::Settings;
use store::worker::{LEASE, Stop};
use store::{branch, build, environment, log, push, release};

use crate::garbage::sweep_images;
use crate::image::{Image, Images, Origin};
use crate::run::{Ended, Subject};
use crate::{attempt, end, journal};

async fn demo(db: &PgPool) -> App {
    let new = NewApp {
        name: "demo",
        forge: Some(Forge {
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
        port: Some(3000),
        health_path: "/healthz",
    };
    store::app::create(&mut db.acquire().await.unwrap(), &new).await.unwrap().unwrap()
}

async fn pushed(db: &PgPool, app: &App, commit: char) -> Subject {
    let mut tx = db.begin().await.unwrap();
    let main = branch::touch(&mut tx, app.id, "main").await.unwrap();
    let build = push::record(&mut tx, &main, &commit.to_string().repeat(40)).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    Subject { build, app: app.clone(), settings: Settings::default() }
}

/// The next job, whose delay has gone by.
async fn claimed(db: &PgPool, kind: JobKind) -> Option<Job> {
    sqlx::query("update job set run_at = now() where kind = $1 and attempt = 0")
        .bind(kind.as_str())
        .execute(db)
        .await
        .unwrap();
    queue::claim(db, &[kind], "w", LEASE).await.unwrap()
}

/// Claims the build job and begins its attempt.
async fn began(db: &PgPool, subject: &Subject) -> Job {
    let job = claimed(db, JobKind::Build).await.unwrap();
    assert_eq!(job.subject, subject.build.id);
    let (log, _events) = journal::open(Redactor::new([]));
    assert!(attempt::begin(db, &job, &subject.build, &log).await.unwrap());
    job
}

fn logs(db: &PgPool) -> log::Logs {
    log::Logs { db: db.clone(), archive: None }
}

async fn reload(db: &PgPool, build: &Build) -> Build {
    build::get(db, build.id).await.unwrap().unwrap()
}

async fn lose(db: &PgPool) {
    sqlx::query("update job set lease_until = now() - interval '1 s' where state = 'running'")
        .execute(db)
        .await
        .unwrap();
    queue::sweep(db).await.unwrap();
}

/// A registry that nobody reaches.
fn images() -> Images {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Images::new("127.0.0.1:1", None, true).unwrap()
}

fn image() -> Image {
    Image {
        repository: "registry:5000/demo".to_owned(),
        digest: "sha256:aa".to_owned(),
        size_bytes: 7,
        origin: Origin::Built(None),
        layers: vec![],
        port: Some(4000),
        attested: None,
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_success_is_one_transaction(db: PgPool) {
    let app = demo(&db).await;
    let subject = pushed(&db, &app, 'a').await;
    let job = began(&db, &subject).await;
    end::end(&db, &images(), &job, &subject, Ended::Built(image())).await.unwrap();

    let build = reload(&db, &subject.build).await;
    assert_eq!((build.state.0, build.digest.as_deref()), (BuildState::Succeeded, Some("sha256:aa")));
    let main = environment::list(&db, app.id).await.unwrap().remove(0);
    assert_eq!((main.name.as_str(), main.namespace.as_str()), ("main", "env-demo--main"));
    let release = release::of_build(&db, build.id).await.unwrap().unwrap();
    assert_eq!((release.version, release.image.as_str()), (1, "registry:5000/demo@sha256:aa"));
    assert_eq!((release.port, release.health_path.as_str()), (3000, "/healthz"));
    assert_eq!(claimed(&db, JobKind::Deploy).await.unwrap().subject, release.id);
    assert_eq!(claimed(&db, JobKind::Report).await.unwrap().subject, build.id);
    assert!(claimed(&db, JobKind::Build).await.is_none());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn who_lost_the_lease_writes_nothing(db: PgPool) {
    let app = demo(&db).await;
    let subject = pushed(&db, &app, 'a').await;
    let stale = began(&db, &subject).await;
    lose(&db).await;
    let fresh = claimed(&db, JobKind::Build).await.unwrap();
    assert_eq!(fresh.attempt, 2);

    let reason = Reason::new(ReasonCode::StepFailed, "no");
    for ended in [Ended::Built(image()), Ended::Failed(reason), Ended::Stopped(Stop::Cancelled)] {
        end::end(&db, &images(), &stale, &subject, ended).await.unwrap();
    }
    assert_eq!(reload(&db, &subject.build).await.state.0, BuildState::Running);
    assert!(release::of_build(&db, subject.build.id).await.unwrap().is_none());

    let (log, events) = journal::open(Redactor::new([]));
    log.say("from the grave".to_owned()).await;
    drop(log);
    journal::write(&db, &stale, &subject.build, 1 << 30, events).await.unwrap();
    assert!(log::read(&logs(&db), subject.build.id, 0, 10).await.unwrap().is_empty());
    let (log, _events) = journal::open(Redactor::new([]));
    assert!(!attempt::begin(&db, &stale, &subject.build, &log).await.unwrap());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_failure_says_why(db: PgPool) {
    let app = demo(&db).await;
    let subject = pushed(&db, &app, 'a').await;
    let job = began(&db, &subject).await;
    let reason =
        Reason::new(ReasonCode::StepFailed, "RUN npm ci failed").with_lines(vec!["npm ERR!".to_owned()]);
    end::end(&db, &images(), &job, &subject, Ended::Failed(reason.clone())).await.unwrap();
    let build = reload(&db, &subject.build).await;
    assert_eq!(build.state.0, BuildState::Failed);
    assert_eq!(build.reason.map(|json| json.0), Some(reason));
    assert!(claimed(&db, JobKind::Build).await.is_none() && claimed(&db, JobKind::Report).await.is_some());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_attempt_follows_the_one_before(db: PgPool) {
    let app = demo(&db).await;
    let subject = pushed(&db, &app, 'a').await;
    let job = began(&db, &subject).await;
    let (log, events) = journal::open(Redactor::new([]));
    let step = |number, name: &str| Event::Step(Step { number, name: name.to_owned(), ..Step::default() });
    let line =
        |step, text: &str| Event::Line(Line { step, bytes: text.as_bytes().to_vec(), continues: false });
    for event in [step(1, "load"), step(2, "RUN a"), line(2, "one"), line(2, "two")] {
        log.events().send(event, 10).await.unwrap();
    }
    drop(log);
    journal::write(&db, &job, &subject.build, 1 << 30, events).await.unwrap();
    let again = Ended::Again { error: "BuildKit did not answer".to_owned(), delay: Duration::ZERO };
    end::end(&db, &images(), &job, &subject, again).await.unwrap();
    assert_eq!(reload(&db, &subject.build).await.state.0, BuildState::Running);

    let job = claimed(&db, JobKind::Build).await.unwrap();
    assert_eq!(job.attempt, 2);
    let started = reload(&db, &subject.build).await;
    let (log, events) = journal::open(Redactor::new([]));
    assert!(attempt::begin(&db, &job, &started, &log).await.unwrap());
    log.events().send(step(1, "load"), 10).await.unwrap();
    log.events().send(line(1, "three"), 10).await.unwrap();
    drop(log);
    journal::write(&db, &job, &subject.build, 1 << 30, events).await.unwrap();

    let steps = log::steps(&db, subject.build.id).await.unwrap();
    let steps: Vec<_> = steps.iter().map(|it| (it.number, it.attempt, it.name.as_str())).collect();
    assert_eq!(steps, [(1, 1, "load"), (2, 1, "RUN a"), (3, 2, "load")]);
    let lines = log::read(&logs(&db), subject.build.id, 0, 100).await.unwrap();
    let lines: Vec<_> = lines.iter().map(|it| (it.number, it.step, it.text.as_str())).collect();
    let over = (2, 0, "builder: starting over (attempt 2 of 4)");
    assert_eq!(lines, [(0, 2, "one"), (1, 2, "two"), over, (3, 3, "three")]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_shutdown_hands_back_without_counting(db: PgPool) {
    let app = demo(&db).await;
    let subject = pushed(&db, &app, 'a').await;
    let job = began(&db, &subject).await;
    end::end(&db, &images(), &job, &subject, Ended::Stopped(Stop::Shutdown)).await.unwrap();
    let job = claimed(&db, JobKind::Build).await.unwrap();
    assert_eq!((job.subject, job.attempt), (subject.build.id, 1));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_newer_push_takes_the_place_of_a_running_build(db: PgPool) {
    let app = demo(&db).await;
    let first = pushed(&db, &app, 'a').await;
    let job = began(&db, &first).await;
    let second = pushed(&db, &app, 'b').await;
    assert_eq!(queue::beat(&db, &job, LEASE).await.unwrap(), queue::Beat::CancelRequested);
    end::end(&db, &images(), &job, &first, Ended::Stopped(Stop::Cancelled)).await.unwrap();
    let build = reload(&db, &first.build).await;
    assert_eq!((build.state.0, build.superseded_by), (BuildState::Superseded, Some(second.build.id)));
    began(&db, &second).await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn no_build_is_left_without_a_job(db: PgPool) {
    let app = demo(&db).await;
    // Put back while a newer one waits: it gives way at once.
    let first = pushed(&db, &app, 'a').await;
    let job = began(&db, &first).await;
    let second = pushed(&db, &app, 'b').await;
    let again = Ended::Again { error: "no".to_owned(), delay: Duration::ZERO };
    end::end(&db, &images(), &job, &first, again).await.unwrap();
    assert_eq!(reload(&db, &first.build).await.state.0, BuildState::Superseded);
    // Its builder died, and a newer one took over the lane before it could start over.
    began(&db, &second).await;
    lose(&db).await;
    let third = pushed(&db, &app, 'c').await;
    began(&db, &third).await;
    let build = reload(&db, &second.build).await;
    assert_eq!((build.state.0, build.superseded_by), (BuildState::Superseded, Some(third.build.id)));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_image_that_was_removed_meanwhile_is_made_again(db: PgPool) {
    let app = demo(&db).await;
    let first = pushed(&db, &app, 'a').await;
    let job = began(&db, &first).await;
    end::end(&db, &images(), &job, &first, Ended::Built(image())).await.unwrap();
    sqlx::query("update image set garbage_at = now(), removed_at = now()").execute(&db).await.unwrap();

    let second = pushed(&db, &app, 'b').await;
    let job = began(&db, &second).await;
    // The registry does not say that it has the image.
    end::end(&db, &images(), &job, &second, Ended::Built(image())).await.unwrap();
    assert_eq!(reload(&db, &second.build).await.state.0, BuildState::Running);
    assert!(release::of_build(&db, second.build.id).await.unwrap().is_none());
    sqlx::query("update job set run_at = now()").execute(&db).await.unwrap();
    let again = queue::claim(&db, &[JobKind::Build], "w", LEASE).await.unwrap().unwrap();
    assert_eq!((again.subject, again.attempt), (second.build.id, 2));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_a_registry_does_not_remove_stays_garbage(db: PgPool) {
    let app = demo(&db).await;
    for (commit, digest) in [('a', "aa"), ('b', "bb")] {
        let subject = pushed(&db, &app, commit).await;
        let job = began(&db, &subject).await;
        let digest = format!("sha256:{}", digest.repeat(32));
        let made = Image { repository: "127.0.0.1:1/demo".to_owned(), digest, ..image() };
        end::end(&db, &images(), &job, &subject, Ended::Built(made)).await.unwrap();
    }
    let strict = Policy { releases: 1, image_days: 0, mirror_days: 1 };
    for digest in ["c", "d"] {
        let (app_id, repository, digest) =
            (app.id, "127.0.0.1:1/demo", &format!("sha256:{}", digest.repeat(64)));
        let exported = Exported { app_id, repository, digest, input: b"i", layers: &[] };
        store::cache::record(&mut db.acquire().await.unwrap(), &exported).await.unwrap();
    }
    for _ in 0..2 {
        let swept = sweep_images(&db, images().registry(), &strict, None).await.unwrap();
        assert_eq!((swept.kept.count, swept.left.count, swept.removed), (2, 2, Counts::default()));
        let fault = swept.fault.unwrap();
        assert!(fault.contains("the registry does not answer") && fault.contains("127.0.0.1:1"), "{fault}");
    }
}

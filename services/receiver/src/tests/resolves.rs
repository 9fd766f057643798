//! The job `resolve` against a forge that serves git's dumb protocol: one text file names what each branch is.

use domain::forge_kind::ForgeKind;
use domain::job::JobKind;
use sqlx::PgPool;
use store::app::App;
use store::branch::Branch;
use store::environment::{Environment, NewEnvironment};
use store::queue::Job;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wiremock::matchers::{basic_auth, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{app_at, assert_waits, claim, clock, count, post, push_body, signed, state_of};
use crate::hook;
use crate::resolve::resolve;

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// A forge and the application on it.
struct Forge {
    server: MockServer,
    app: App,
}

async fn forge(db: &PgPool) -> Forge {
    let server = MockServer::start().await;
    let (app, _) = app_at(db, ForgeKind::Gitea, &format!("{}/slip/demo.git", server.uri())).await;
    Forge { server, app }
}

impl Forge {
    async fn answers(&self, answer: ResponseTemplate) {
        self.server.reset().await;
        let refs = Mock::given(method("GET")).and(path("/slip/demo.git/info/refs"));
        refs.and(basic_auth("slip", "s3cret")).respond_with(answer).mount(&self.server).await;
    }

    /// `None`: there is no branch `main`.
    async fn has(&self, main: Option<&str>) {
        // Another ref that ends in the branch's name must not be taken for it.
        let mut refs = format!("{}\trefs/heads/other/refs/heads/main\n", "f".repeat(40));
        if let Some(commit) = main {
            refs.push_str(&format!("{commit}\trefs/heads/main\n"));
        }
        self.answers(ResponseTemplate::new(200).set_body_string(refs)).await;
    }
}

/// Queues the question what `main` is, and answers it.
async fn ask(db: &PgPool, app: &App) -> Job {
    ask_of(db, app, "main").await
}

async fn ask_of(db: &PgPool, app: &App, branch: &str) -> Job {
    let mut tx = db.begin().await.unwrap();
    let branch = store::branch::touch(&mut tx, app.id, branch).await.unwrap();
    store::branch::enqueue_resolve(&mut tx, branch.id).await.unwrap();
    tx.commit().await.unwrap();
    let job = claim(db, JobKind::Resolve).await.unwrap();
    resolve(db, &job).await.unwrap();
    job
}

async fn main_of(db: &PgPool, job: &Job) -> Branch {
    store::branch::get(db, job.subject).await.unwrap().unwrap()
}

/// Commit and state of each build, oldest first.
async fn builds(db: &PgPool) -> Vec<(String, String)> {
    sqlx::query_as("select commit, state::text from build order by number").fetch_all(db).await.unwrap()
}

fn build(commit: &str, state: &str) -> (String, String) {
    (commit.to_owned(), state.to_owned())
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_branch_that_moved_is_built_once(db: PgPool) {
    let forge = forge(&db).await;
    forge.has(Some(A)).await;
    let job = ask(&db, &forge.app).await;
    assert_eq!(state_of(&db, &job).await, ("done".to_owned(), None));
    assert_eq!(main_of(&db, &job).await.commit.as_deref(), Some(A));
    assert_eq!(builds(&db).await, [build(A, "queued")]);
    assert_eq!(count(&db, "select count(*) from job where kind in ('build', 'report')").await, 2);

    let job = ask(&db, &forge.app).await;
    assert_eq!(state_of(&db, &job).await.0, "done");
    assert_eq!(builds(&db).await.len(), 1, "it had not moved");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_newer_commit_supersedes_and_a_commit_that_comes_back_is_built_again(db: PgPool) {
    let forge = forge(&db).await;
    for commit in [A, B, A] {
        forge.has(Some(commit)).await;
        ask(&db, &forge.app).await;
    }
    assert_eq!(builds(&db).await, [build(A, "superseded"), build(B, "superseded"), build(A, "queued")]);
    assert_eq!(count(&db, "select count(*) from job where kind = 'build'").await, 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_branch_that_is_gone_is_recorded_and_built_when_it_is_back(db: PgPool) {
    let forge = forge(&db).await;
    forge.has(Some(A)).await;
    ask(&db, &forge.app).await;
    forge.has(None).await;
    let job = ask(&db, &forge.app).await;
    assert_eq!((state_of(&db, &job).await.0.as_str(), main_of(&db, &job).await.commit), ("done", None));
    assert_eq!(builds(&db).await.len(), 1);
    forge.has(Some(A)).await;
    ask(&db, &forge.app).await;
    assert_eq!(builds(&db).await.len(), 2);
}

/// The environment of a branch that was built before.
async fn environment(db: &PgPool, job: &Job, name: &str) -> Environment {
    let branch = main_of(db, job).await;
    let namespace = format!("env-demo--{name}");
    let new = NewEnvironment {
        app_id: branch.app_id,
        branch_id: branch.id,
        name,
        namespace: &namespace,
        ttl_seconds: None,
    };
    store::environment::ensure(&mut db.acquire().await.unwrap(), &new).await.unwrap()
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_branch_that_is_gone_takes_its_environments_along_but_for_main(db: PgPool) {
    let forge = forge(&db).await;
    let refs = |main: &str, feature: &str| {
        ResponseTemplate::new(200).set_body_string(format!("{feature}{A}\trefs/heads/other\n{main}"))
    };
    let (main, feature) = (format!("{A}\trefs/heads/main\n"), format!("{B}\trefs/heads/feature\n"));
    forge.answers(refs(&main, &feature)).await;
    let mut environments = Vec::new();
    for name in ["main", "feature"] {
        environments.push(environment(&db, &ask_of(&db, &forge.app, name).await, name).await);
    }
    forge.answers(refs("", "")).await;
    for name in ["main", "feature"] {
        ask_of(&db, &forge.app, name).await;
    }
    assert_eq!(builds(&db).await, [build(A, "cancelled"), build(B, "cancelled")]);
    assert_eq!(claim(&db, JobKind::Deploy).await.unwrap().subject, environments[1].id);
    assert!(claim(&db, JobKind::Deploy).await.is_none());

    // It comes back as it was, and stays.
    forge.answers(refs(&main, &feature)).await;
    let job = ask_of(&db, &forge.app, "feature").await;
    assert_eq!(builds(&db).await.last(), Some(&build(B, "queued")));
    assert!(environment(&db, &job, "feature").await.removal_asked_at.is_none());
}

/// A worker that never rests, until `delivered` and nothing is left.
async fn resolve_until(db: PgPool, delivered: CancellationToken) {
    loop {
        let last = delivered.is_cancelled();
        match claim(&db, JobKind::Resolve).await {
            Some(job) => resolve(&db, &job).await.unwrap(),
            None if last => return,
            None => tokio::task::yield_now().await,
        }
    }
}

/// Deliveries come while their branch is resolved: neither may wait for what the other holds.
#[sqlx::test(migrator = "store::MIGRATOR")]
async fn many_deliveries_of_one_push_make_one_build(db: PgPool) {
    let forge = forge(&db).await;
    forge.has(Some(A)).await;
    let hook = store::app::hook_of(&db, forge.app.id).await.unwrap().unwrap();
    let router = hook::router(db.clone());
    let delivered = CancellationToken::new();
    let mut resolving = JoinSet::new();
    resolving.spawn(resolve_until(db.clone(), delivered.clone()));
    let mut sent = JoinSet::new();
    for n in 0..200 {
        let (router, id, body) = (router.clone(), hook.id.to_string(), push_body("main"));
        sent.spawn(async move { post(&router, &id, signed(&format!("d{n}"), &body), body).await });
    }
    for (status, answer) in sent.join_all().await {
        assert_eq!(answer["verdict"], "accepted", "{status}: {answer}");
    }
    delivered.cancel();
    resolving.join_all().await;
    assert_eq!(builds(&db).await, [build(A, "queued")]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_delivery_that_is_being_stored_keeps_no_resolve_waiting(db: PgPool) {
    let forge = forge(&db).await;
    forge.has(Some(A)).await;
    let branch = main_of(&db, &ask(&db, &forge.app).await).await;
    let mut delivering = db.begin().await.unwrap();
    store::branch::touch(&mut delivering, forge.app.id, "main").await.unwrap();
    let mut ending = db.begin().await.unwrap();
    sqlx::query("set local lock_timeout = '1s'").execute(&mut *ending).await.unwrap();
    store::branch::resolved(&mut ending, branch.id).await.unwrap();
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_lost_lease_writes_nothing(db: PgPool) {
    let forge = forge(&db).await;
    forge.has(Some(A)).await;
    let job = ask(&db, &forge.app).await;
    forge.has(Some(B)).await;
    resolve(&db, &job).await.unwrap();
    assert_eq!(main_of(&db, &job).await.commit.as_deref(), Some(A), "the job's lease ended with it");
    assert_eq!(builds(&db).await.len(), 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_forge_in_trouble_is_asked_again_later(db: PgPool) {
    let forge = forge(&db).await;
    forge.answers(ResponseTemplate::new(502)).await;
    let mut begun = clock(&db).await;
    let mut job = ask(&db, &forge.app).await;
    for (attempt, wait) in [(1, 1.0), (2, 4.0), (3, 15.0)] {
        let (state, error) = state_of(&db, &job).await;
        assert_eq!((job.attempt, state.as_str()), (attempt, "queued"));
        assert!(error.unwrap().contains("502"));
        assert_waits(&db, &job, &begun, wait).await;
        job = claim(&db, JobKind::Resolve).await.unwrap();
        begun = clock(&db).await;
        resolve(&db, &job).await.unwrap();
    }
    assert_eq!(state_of(&db, &job).await.0, "failed");
    assert_eq!(crate::poll::poll(&db, 180).await.unwrap(), 0, "polling leaves it alone for a while");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_refusal_is_final(db: PgPool) {
    let forge = forge(&db).await;
    forge.answers(ResponseTemplate::new(403)).await;
    let job = ask(&db, &forge.app).await;
    let (state, error) = state_of(&db, &job).await;
    assert_eq!(state, "failed");
    assert!(error.unwrap().contains("403"));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_address_that_is_none_is_final(db: PgPool) {
    let (app, _) = app_at(&db, ForgeKind::Gitea, "git@forge.example:slip/demo.git").await;
    let job = ask(&db, &app).await;
    assert_eq!(state_of(&db, &job).await.0, "failed");
}

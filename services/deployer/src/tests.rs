//! Removals against a real PostgreSQL and a cluster that knows nothing but namespaces.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use domain::job::JobKind;
use domain::state::ReleaseState;
use manifest::label;
use serde_json::{Value, json};
use sqlx::PgPool;
use store::app::NewApp;
use store::environment::{Environment, NewEnvironment};
use store::queue::Job;
use store::release::{NewRelease, Release};
use store::worker::LEASE;
use tokio::sync::broadcast;
use tokio::time::Instant;
use uuid::Uuid;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::orphan::{self, GRACE, Since};
use crate::subject::{self, Work};
use crate::{Deployer, due, remove};

/// Namespaces by name.
#[derive(Clone, Default)]
struct Cluster(Arc<Mutex<HashMap<String, Namespace>>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Namespace {
    Slipways,
    Leaving,
    SomebodyElses,
    /// Its deletion is refused.
    Kept,
}

impl Cluster {
    fn with(namespaces: &[(&str, Namespace)]) -> Cluster {
        Cluster(Arc::new(Mutex::new(namespaces.iter().map(|(name, it)| ((*name).to_owned(), *it)).collect())))
    }

    fn get(&self, name: &str) -> Option<Namespace> {
        self.0.lock().unwrap().get(name).copied()
    }

    /// What leaves is gone.
    fn settle(&self) {
        self.0.lock().unwrap().retain(|_, it| *it != Namespace::Leaving);
    }
}

fn object(name: &str, namespace: Namespace) -> Value {
    let mut metadata = json!({"name": name, "uid": format!("uid-of-{name}"), "labels": {}});
    if namespace != Namespace::SomebodyElses {
        metadata["labels"] = json!({label::MANAGED_BY: label::SLIPWAY, label::APP: "demo", label::ENV: "x"});
    }
    if namespace == Namespace::Leaving {
        metadata["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    }
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
}

fn refusal(code: u16, reason: &str) -> ResponseTemplate {
    ResponseTemplate::new(code).set_body_json(json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason,
    }))
}

impl Respond for Cluster {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let mut namespaces = self.0.lock().unwrap();
        let path =
            request.url.path().strip_prefix("/api/v1/namespaces").expect("only namespaces are asked for");
        let name = path.trim_start_matches('/').to_owned();
        if name.is_empty() {
            let selector = request.url.query_pairs().find(|(key, _)| key == "labelSelector").unwrap().1;
            assert!(selector.starts_with("app.kubernetes.io/managed-by=slipway,"), "{selector}");
            let ours = namespaces.iter().filter(|(_, it)| **it != Namespace::SomebodyElses);
            let items: Vec<Value> = ours.map(|(name, it)| object(name, *it)).collect();
            let list = json!({"apiVersion": "v1", "kind": "NamespaceList", "metadata": {}, "items": items});
            return ResponseTemplate::new(200).set_body_json(list);
        }
        let Some(namespace) = namespaces.get_mut(&name) else { return refusal(404, "NotFound") };
        if request.method.as_str() == "DELETE" {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            assert_eq!(body["preconditions"]["uid"], format!("uid-of-{name}"));
            match namespace {
                Namespace::Slipways => *namespace = Namespace::Leaving,
                Namespace::Leaving => panic!("{name} is deleted twice"),
                Namespace::SomebodyElses | Namespace::Kept => return refusal(403, "Forbidden"),
            }
        }
        ResponseTemplate::new(200).set_body_json(object(&name, *namespace))
    }
}

/// The server forgets the cluster with its value.
async fn deployer(db: &PgPool, cluster: &Cluster) -> (Deployer, MockServer) {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(cluster.clone()).mount(&server).await;
    (deployer_at(db, &server.uri()), server)
}

fn deployer_at(db: &PgPool, url: &str) -> Deployer {
    let mut config = kube::Config::new(url.parse().unwrap());
    config.default_retry = false;
    Deployer {
        db: db.clone(),
        client: kube::Client::try_from(config).unwrap(),
        settings: manifest::release::Settings { user_namespaces: true, rollout_seconds: 60 },
        pull_config: None,
        rings: broadcast::Sender::new(1),
    }
}

/// An environment that is live.
async fn live(db: &PgPool, branch: &str) -> (Environment, Release) {
    let mut tx = db.begin().await.unwrap();
    let app = match store::app::by_name(db, "demo").await.unwrap() {
        Some(app) => app,
        None => store::app::create(&mut tx, &NewApp::pushed("demo", "main")).await.unwrap().unwrap(),
    };
    let branch = store::branch::touch(&mut tx, app.id, branch).await.unwrap();
    let build = store::push::record(&mut tx, &branch, &"a".repeat(40)).await.unwrap().unwrap();
    store::build::start(&mut tx, build.id, 1).await.unwrap();
    store::build::succeed(&mut tx, build.id, "sha256:1").await.unwrap();
    let namespace = domain::name::namespace(&build.environment, "demo");
    let new = NewEnvironment {
        app_id: app.id,
        branch_id: branch.id,
        name: &build.environment,
        namespace: &namespace,
        ttl_seconds: None,
    };
    let environment = store::environment::ensure(&mut tx, &new).await.unwrap();
    let new = NewRelease { build_id: build.id, image: "r/demo@sha256:1", port: 8080, health_path: "/" };
    let release = store::release::create(&mut tx, &environment, &new).await.unwrap();
    tx.commit().await.unwrap();
    let job = claim(db).await.unwrap();
    let work = subject::load(db, job.subject).await.unwrap();
    assert!(matches!(work, Some(Work::RollOut(subject)) if subject.release.id == release.id));
    assert!(subject::start(db, &job, &release, &[]).await.unwrap());
    subject::end(db, &job, &release, subject::Ending::Live).await.unwrap();
    (environment, release)
}

/// The next job, whose delay has gone by.
async fn claim(db: &PgPool) -> Option<Job> {
    sqlx::query("update job set run_at = now() where state = 'queued'").execute(db).await.unwrap();
    store::queue::claim(db, &[JobKind::Deploy], "w", LEASE).await.unwrap()
}

async fn ask(db: &PgPool, environment: &Environment) {
    let mut conn = db.acquire().await.unwrap();
    assert!(store::environment::ask_removal(&mut conn, environment.id).await.unwrap());
}

/// One attempt of the removal that is queued.
async fn attempt(deployer: &Deployer) {
    let job = claim(&deployer.db).await.expect("a removal is queued");
    let Some(Work::Remove(environment)) = subject::load(&deployer.db, job.subject).await.unwrap() else {
        panic!("the job is no removal");
    };
    remove::handle(deployer, &job, &environment).await.unwrap();
}

async fn exists(db: &PgPool, id: Uuid) -> bool {
    store::environment::get(db, id).await.unwrap().is_some()
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_namespace_goes_before_the_row(db: PgPool) {
    let cluster =
        Cluster::with(&[("env-demo--main", Namespace::Slipways), ("env-demo--feature", Namespace::Slipways)]);
    let (deployer, _server) = deployer(&db, &cluster).await;
    let (main, _) = live(&db, "main").await;
    let (feature, release) = live(&db, "feature").await;
    ask(&db, &feature).await;
    // Asked for its deletion, looked at while it is on its way out, gone.
    attempt(&deployer).await;
    assert_eq!(cluster.get("env-demo--feature"), Some(Namespace::Leaving));
    let release = store::release::get(&db, release.id).await.unwrap().unwrap();
    assert_eq!(release.state.0, ReleaseState::Replaced);
    attempt(&deployer).await;
    assert!(exists(&db, feature.id).await);
    cluster.settle();
    attempt(&deployer).await;
    assert!(!exists(&db, feature.id).await && exists(&db, main.id).await);
    assert!(claim(&db).await.is_none());
    assert_eq!(cluster.get("env-demo--main"), Some(Namespace::Slipways));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_cluster_that_is_away_is_asked_again(db: PgPool) {
    let deployer = deployer_at(&db, "http://127.0.0.1:1");
    let (feature, _) = live(&db, "feature").await;
    ask(&db, &feature).await;
    for _ in 0..6 {
        attempt(&deployer).await;
    }
    assert!(exists(&db, feature.id).await);
    let error: String =
        sqlx::query_scalar("select error from job where state = 'queued' and kind = 'deploy'")
            .fetch_one(&db)
            .await
            .unwrap();
    assert!(error.starts_with("the Kubernetes API does not answer"), "{error}");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_namespace_of_somebody_else_stays(db: PgPool) {
    let cluster = Cluster::with(&[("env-demo--feature", Namespace::SomebodyElses)]);
    let (deployer, _server) = deployer(&db, &cluster).await;
    let (feature, _) = live(&db, "feature").await;
    ask(&db, &feature).await;
    attempt(&deployer).await;
    assert!(!exists(&db, feature.id).await);
    assert_eq!(cluster.get("env-demo--feature"), Some(Namespace::SomebodyElses));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_is_due_is_asked_to_go(db: PgPool) {
    let (main, _) = live(&db, "main").await;
    let (feature, _) = live(&db, "feature").await;
    due::ask(&db).await.unwrap();
    assert!(claim(&db).await.is_none());
    let expired = "update environment set expires_at = now() - interval '1 s'";
    sqlx::query(expired).execute(&db).await.unwrap();
    due::ask(&db).await.unwrap();
    due::ask(&db).await.unwrap();
    let mut asked = Vec::new();
    while let Some(job) = claim(&db).await {
        asked.push(job.subject);
    }
    assert_eq!(asked, [main.id, feature.id]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn orphans_go_after_a_while_and_none_keeps_another(db: PgPool) {
    let cluster = Cluster::with(&[
        ("env-demo--main", Namespace::Slipways),
        ("env-gone--a", Namespace::Slipways),
        ("env-gone--b", Namespace::Kept),
        ("env-gone--c", Namespace::Slipways),
        ("env-other", Namespace::SomebodyElses),
    ]);
    let (deployer, _server) = deployer(&db, &cluster).await;
    let (main, _) = live(&db, "main").await;
    // Its row is there until its namespace is not.
    ask(&db, &main).await;
    let (mut since, start) = (Since::new(), Instant::now());
    orphan::sweep(&deployer, &mut since, start).await.unwrap();
    assert_eq!(cluster.get("env-gone--a"), Some(Namespace::Slipways), "not at once");
    orphan::sweep(&deployer, &mut since, start + GRACE).await.unwrap();
    for (name, expected) in [
        ("env-demo--main", Namespace::Slipways),
        ("env-gone--a", Namespace::Leaving),
        ("env-gone--b", Namespace::Kept),
        ("env-gone--c", Namespace::Leaving),
        ("env-other", Namespace::SomebodyElses),
    ] {
        assert_eq!(cluster.get(name), Some(expected), "{name}");
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_database_that_knows_nothing_makes_no_orphans(db: PgPool) {
    let cluster = Cluster::with(&[("env-demo--main", Namespace::Slipways)]);
    let (deployer, _server) = deployer(&db, &cluster).await;
    let (mut since, start) = (Since::new(), Instant::now());
    for n in 0..3 {
        orphan::sweep(&deployer, &mut since, start + n * GRACE).await.unwrap();
    }
    assert_eq!(cluster.get("env-demo--main"), Some(Namespace::Slipways));
}

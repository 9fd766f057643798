//! What is too much for one push, and what its user is told: a real git pushes to the real endpoint.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use domain::scope::Scope;
use gitrepo::bare::Repositories;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use store::token::NewToken;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::count;
use crate::git::{self, Git};
use crate::status::Links;

const PACK_MAX: u64 = 100 << 10;

/// A receiver that takes small packs, and a work tree that is pushed to it.
pub(super) struct Pushed {
    /// With the token of who pushes.
    pub(super) url: String,
    folder: TempDir,
    _serving: JoinSet<()>,
}

impl Pushed {
    pub(super) async fn new(db: &PgPool) -> Pushed {
        let folder = tempfile::tempdir().unwrap();
        let repositories = Repositories::open(&folder.path().join("repositories")).unwrap();
        let base_url = "http://slipway.example/".parse().unwrap();
        let links = Links { base_url, base_domain: "slipway.example".to_owned() };
        let git = Git::new(db.clone(), repositories, links, PACK_MAX, CancellationToken::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        let router = git::router(git);
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });

        let new =
            NewToken { name: "ada", scope: Scope::Push, app_id: None, seconds: None, created_by: "test" };
        let (_, secret) = store::token::create(db, &new).await.unwrap().unwrap();
        let url = format!("http://git:{secret}@{address}/demo.git");
        let pushed = Pushed { url, folder, _serving: serving };
        std::fs::create_dir(pushed.tree()).unwrap();
        pushed.git(&["init", "--quiet", "--initial-branch=main"]).await;
        pushed.git(&["remote", "add", "slipway", &pushed.url]).await;
        pushed.git(&["commit", "--quiet", "--allow-empty", "--message=First"]).await;
        pushed
    }

    pub(super) fn tree(&self) -> std::path::PathBuf {
        self.folder.path().join("tree")
    }

    /// Of the receiver.
    pub(super) fn repository(&self, app: Uuid) -> std::path::PathBuf {
        self.folder.path().join(format!("repositories/{app}.git"))
    }

    /// Whether it went well, and what it said.
    pub(super) async fn git(&self, arguments: &[&str]) -> (bool, String) {
        git(&self.tree(), arguments).await
    }

    pub(super) async fn push(&self, what: &[&str]) -> (bool, String) {
        self.git(&[&["push", "-o", "wait=queued", "slipway"], what].concat()).await
    }
}

async fn git(tree: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new("git");
    command.args(arguments).current_dir(tree).stdin(Stdio::null());
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").env("LC_ALL", "C");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "Ada").env(format!("GIT_{who}_EMAIL"), "ada@example.org");
    }
    let output = command.output().await.unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_pack_over_the_limit(db: PgPool) {
    let pushed = Pushed::new(&db).await;
    assert!(pushed.push(&["main"]).await.0);
    let mut large = vec![0; 3 * PACK_MAX as usize];
    rand::RngCore::fill_bytes(&mut rand::rng(), &mut large);
    std::fs::write(pushed.tree().join("large"), large).unwrap();
    pushed.git(&["add", "large"]).await;
    pushed.git(&["commit", "--quiet", "--message=Large"]).await;
    let (went_well, said) = pushed.push(&["main"]).await;
    let why = " ! [remote rejected] main -> main (pack exceeds maximum allowed size (100.00 KiB))";
    assert!(!went_well && said.lines().any(|line| line == why), "{said}");
    assert_eq!(count(&db, "select count(*) from build").await, 1);
    assert_eq!(count(&db, "select count(*) from push where state = 'aborted'").await, 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn more_refs_than_a_push_may_have(db: PgPool) {
    let pushed = Pushed::new(&db).await;
    assert!(pushed.push(&["main"]).await.0);
    let refspecs: Vec<String> = (0..100).map(|n| format!("HEAD:refs/tags/v{n}")).collect();
    let refspecs: Vec<&str> = refspecs.iter().map(String::as_str).collect();
    let (went_well, said) = pushed.push(&refspecs).await;
    assert!(went_well, "{said}");
    let one_more = [&refspecs[..], &["HEAD:refs/tags/w"]].concat();
    let (went_well, said) = pushed.git(&[&["push", "--force", "slipway"], &one_more[..]].concat()).await;
    assert!(went_well, "those that are there are not pushed: {said}");
    pushed.git(&["commit", "--quiet", "--allow-empty", "--message=Second"]).await;
    let (went_well, said) = pushed.git(&[&["push", "--force", "slipway"], &one_more[..]].concat()).await;
    let why = "(the push updates more than 100 refs: push fewer at once)";
    let told =
        said.lines().filter(|line| line.starts_with(" ! [remote rejected] HEAD -> ") && line.ends_with(why));
    assert!(!went_well && told.count() == 100, "{said}");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn more_push_options_than_anybody_needs(db: PgPool) {
    let pushed = Pushed::new(&db).await;
    let long = "x".repeat(3000);
    for (options, why) in [
        (["-o", "x"].repeat(101), "the push has more than 100 push options"),
        (
            ["-o", &long].repeat(100),
            "the push names its refs and options in more than 256 KiB: push fewer refs at once",
        ),
    ] {
        let (went_well, said) = pushed.git(&[&["push"], &options[..], &["slipway", "main"]].concat()).await;
        let why = format!(" ! [remote rejected] main -> main ({why})");
        assert!(!went_well && said.lines().any(|line| line == why), "{said}");
    }
    assert_eq!(count(&db, "select count(*) from app").await, 0);
}

/// As many pushes as there are connections would wait for each other if one that has a connection needed another.
#[sqlx::test(migrator = "store::MIGRATOR")]
async fn one_connection_is_enough(db: PgPool) {
    let options = db.connect_options().as_ref().clone();
    let db = PgPoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    let pushed = Pushed::new(&db).await;
    let pushing = tokio::time::timeout(Duration::from_secs(60), pushed.push(&["main"]));
    let (went_well, said) = pushing.await.expect("the push waits for a second connection");
    assert!(went_well, "{said}");
    assert_eq!(count(&db, "select count(*) from build").await, 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_first_push_without_a_branch(db: PgPool) {
    let pushed = Pushed::new(&db).await;
    let (went_well, said) = pushed.push(&["HEAD:refs/tags/v1"]).await;
    let why = "there is no application \"demo\" yet: its first push has to be a branch";
    let why = format!(" ! [remote rejected] HEAD -> v1 ({why})");
    assert!(!went_well && said.lines().any(|line| line == why), "{said}");
    assert_eq!(count(&db, "select count(*) from app").await, 0);
}

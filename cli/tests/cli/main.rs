//! The command against the real web on a real PostgreSQL.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the failure")]

mod envs;
mod garbage;
mod git;
mod settings;
mod teams;
mod tokens;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use domain::job::JobKind;
use domain::reason::{Reason, ReasonCode};
use host::site::Site;
use sqlx::PgPool;
use store::build::Build;
use store::log::{Batch, Lines};
use store::queue::{Job, Outcome};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use vault::Vault;

const TOKEN: &str = "secret-token";

fn vault() -> Arc<Vault> {
    Arc::new(Vault::parse(&format!("{}=", "A".repeat(43))).unwrap())
}

/// A web that serves, a folder for the login, and the command.
struct Rig {
    url: String,
    folder: tempfile::TempDir,
    serving: JoinSet<anyhow::Result<()>>,
}

async fn serve(db: &PgPool, address: SocketAddr) -> (SocketAddr, JoinSet<anyhow::Result<()>>) {
    let site = Site {
        base_url: "http://slipway.localhost:8080".parse().unwrap(),
        base_domain: "slipway.localhost:8080".into(),
    };
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let app = web::router(web::Web::new(db.clone(), vault(), &site, "", shutdown.clone()));
    let mut serving = JoinSet::new();
    serving.spawn(host::http::serve_on(app, listener, shutdown, host::http::DRAIN));
    (address, serving)
}

impl Rig {
    async fn new(db: &PgPool) -> Rig {
        store::token::ensure_bootstrap(db, TOKEN).await.unwrap();
        let (address, serving) = serve(db, ([127, 0, 0, 1], 0).into()).await;
        // A name under localhost is reached whatever the resolver says.
        let url = format!("http://slipway.localhost:{}", address.port());
        Rig { url, folder: tempfile::tempdir().unwrap(), serving }
    }

    fn config(&self) -> std::path::PathBuf {
        self.folder.path().join("deep/config.json")
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        command(&self.config(), arguments).output().await.unwrap()
    }

    /// What it printed, when it succeeded.
    async fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it complained about.
    async fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", stderr(&output));
        stderr(&output)
    }

    async fn logged_in(db: &PgPool) -> Rig {
        let rig = Rig::new(db).await;
        rig.ok(&["login", &rig.url, "--token", TOKEN]).await;
        rig.ok(&["apps", "create", "demo", "--repo", "http://forge.example/slip/demo.git"]).await;
        rig
    }
}

fn command(config: &Path, arguments: &[&str]) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_slipway"));
    command
        .args(arguments)
        .env("SLIPWAY_CONFIG", config)
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    command.env_remove("SLIPWAY_URL").env_remove("SLIPWAY_TOKEN").env("PATH", "");
    command
}

/// Moves times ahead, so that they are "just now" for however long this takes.
async fn just_now(db: &PgPool, moved: &'static str) {
    assert!(sqlx::query(moved).execute(db).await.unwrap().rows_affected() > 0, "{moved}");
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn pushed(db: &PgPool, commit: char) -> (Build, Job) {
    let app = store::app::by_name(db, "demo").await.unwrap().unwrap();
    let mut tx = db.begin().await.unwrap();
    let main = store::branch::touch(&mut tx, app.id, "main").await.unwrap();
    let build = store::push::record(&mut tx, &main, &commit.to_string().repeat(40)).await.unwrap().unwrap();
    store::build::describe(&mut tx, build.id, "Say hello", "Ada").await.unwrap();
    tx.commit().await.unwrap();
    let job = store::queue::claim(db, &[JobKind::Build], "w", store::worker::LEASE).await.unwrap().unwrap();
    assert!(store::build::start(&mut db.acquire().await.unwrap(), build.id, 1).await.unwrap());
    (build, job)
}

async fn write(db: &PgPool, (build, job): &(Build, Job), line: &str) {
    let batch = Batch { chunks: &[Lines::of(0, [line]).pack().unwrap()], ..Batch::default() };
    assert!(store::log::append(db, job, build.id, &batch).await.unwrap());
}

async fn fail(db: &PgPool, (build, job): &(Build, Job)) {
    let reason =
        Reason::new(ReasonCode::StepFailed, "npm run build exited with 3").with_lines(vec!["boom".into()]);
    let mut tx = db.begin().await.unwrap();
    store::queue::finish(&mut tx, job, Outcome::Failed { error: "x" }).await.unwrap();
    assert!(store::build::fail(&mut tx, build.id, &reason).await.unwrap());
    tx.commit().await.unwrap();
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_login_is_kept_for_its_user_alone(db: PgPool) {
    use std::os::unix::fs::PermissionsExt as _;
    let rig = Rig::new(&db).await;
    assert!(rig.fails(&["apps", "list"]).await.contains("slipway login URL"));
    let wrong = rig.fails(&["login", &rig.url, "--token", "wrong"]).await;
    assert!(wrong.contains("does not know this token") && wrong.contains(&rig.url), "{wrong}");
    assert!(!rig.config().exists(), "a login that failed leaves nothing");
    let file = rig.folder.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let told = rig
        .ok(&["login", rig.url.trim_start_matches("http://"), "--token-file", file.to_str().unwrap()])
        .await;
    assert!(told.contains("bootstrap admin"), "{told}");
    assert_eq!(std::fs::metadata(rig.config()).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(rig.ok(&["apps", "list"]).await.contains("No application yet"));
    let other = rig.fails(&["--url", "http://127.0.0.1:9", "apps", "list"]).await;
    assert!(
        other.contains("not logged in to http://127.0.0.1:9"),
        "the token is not told to another server: {other}"
    );
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn errors_say_what_to_do(db: PgPool) {
    let rig = Rig::logged_in(&db).await;
    let nobody = rig.fails(&["--url", "http://127.0.0.1:9", "--token", "x", "apps", "list"]).await;
    assert!(nobody.contains("cannot reach http://127.0.0.1:9") && nobody.contains("--url"), "{nobody}");
    let elsewhere = format!("{}/login", rig.url);
    let elsewhere = rig.fails(&["--url", &elsewhere, "--token", TOKEN, "apps", "list"]).await;
    assert!(elsewhere.contains("which Slipway would not"), "{elsewhere}");
    assert!(rig.fails(&["apps", "show", "nobody"]).await.contains("no application called"));
    assert!(rig.fails(&["builds", "show", "demo"]).await.contains("push to its repository"));
    assert!(rig.fails(&["open", "demo"]).await.contains("not live yet"));
    let bad = rig.fails(&["apps", "create", "De--mo", "--repo", "ssh://x"]).await;
    assert!(bad.contains("name:") && bad.contains("repo_url:"), "{bad}");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn applications_and_builds_are_shown(db: PgPool) {
    let rig = Rig::logged_in(&db).await;
    let created = rig
        .ok(&["apps", "create", "shop", "--forge", "gogs", "--repo", "http://forge.example/s/h.git"])
        .await;
    assert!(
        created.contains("/hooks/") && created.contains("Secret") && created.contains("Gogs"),
        "{created}"
    );
    let here = rig.ok(&["apps", "create", "here", "--branch", "trunk"]).await;
    let remote = "git remote add slipway http://slipway.localhost:8080/here.git";
    assert!(here.contains(remote) && here.contains("git push slipway trunk"), "{here}");
    let shown = rig.ok(&["apps", "show", "here"]).await;
    assert!(shown.contains("Remote          http://slipway") && !shown.contains("Webhook"), "{shown}");
    let running = pushed(&db, 'a').await;
    write(&db, &running, "npm error boom").await;
    fail(&db, &running).await;
    let list = rig.ok(&["apps", "list"]).await;
    assert!(list.lines().any(|line| line.starts_with("demo  #1     failed")), "{list}");
    let builds = rig.ok(&["builds", "list", "demo"]).await;
    assert!(builds.contains("aaaaaaaa") && builds.contains("npm run build exited with 3"), "{builds}");
    let shown = rig.ok(&["builds", "show", "demo"]).await;
    for word in ["#1 failed", "npm run build exited with 3", "  | boom", "mend the step"] {
        assert!(shown.contains(word), "{word:?}: {shown}");
    }
    assert!(!shown.contains('\u{1b}'), "no colours into a pipe");
    let json: serde_json::Value =
        serde_json::from_str(&rig.ok(&["builds", "show", "demo", "1", "--json"]).await).unwrap();
    assert_eq!(json["reason"]["code"], "step_failed");
    assert_eq!(rig.ok(&["logs", "demo"]).await, "npm error boom\n");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_followed_log_survives_the_server(db: PgPool) {
    use tokio::io::{AsyncBufReadExt as _, BufReader};
    let mut rig = Rig::logged_in(&db).await;
    let running = pushed(&db, 'a').await;
    write(&db, &running, "one").await;
    let mut child = command(&rig.config(), &["logs", "demo", "--follow"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("one"));

    let port = rig.url.rsplit(':').next().unwrap().parse().unwrap();
    rig.serving.shutdown().await;
    let (_, serving) = serve(&db, ([127, 0, 0, 1], port).into()).await;
    rig.serving = serving;
    write(&db, &running, "two").await;
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("two"));
    fail(&db, &running).await;
    assert_eq!(lines.next_line().await.unwrap(), None);
    let ended = child.wait_with_output().await.unwrap();
    assert_eq!(ended.status.code(), Some(1), "a build that failed");
    assert!(
        stderr(&ended).contains("#1 failed") && stderr(&ended).contains("  | boom"),
        "{}",
        stderr(&ended)
    );
}

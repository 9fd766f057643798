//! `slipway git` with the real git.

use std::path::PathBuf;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

struct Repository<'a> {
    rig: &'a Rig,
    folder: PathBuf,
}

impl Repository<'_> {
    /// Runs a program in the repository: git finds this command, and nobody's settings.
    fn command(&self, program: &str, arguments: &[&str]) -> tokio::process::Command {
        let own = Path::new(env!("CARGO_BIN_EXE_slipway")).parent().unwrap().to_owned();
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::env::join_paths([own].into_iter().chain(std::env::split_paths(&paths))).unwrap();
        let mut command = tokio::process::Command::new(program);
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env("PATH", paths)
            .env("SLIPWAY_CONFIG", self.rig.config())
            .env("HOME", &self.folder)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env_remove("SLIPWAY_URL")
            .env_remove("SLIPWAY_TOKEN")
            .env_remove("GIT_DIR")
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true);
        command
    }

    async fn run(&self, program: &str, arguments: &[&str]) -> Output {
        self.command(program, arguments).output().await.unwrap()
    }

    async fn ok(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.run(program, arguments).await;
        assert!(output.status.success(), "{program} {arguments:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs `git credential` with `asked` on its standard input.
    async fn credential(&self, operation: &str, asked: &str) -> Output {
        let mut command = self.command("git", &["credential", operation]);
        command.stdin(std::process::Stdio::piped());
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(asked.as_bytes()).await.unwrap();
        child.wait_with_output().await.unwrap()
    }
}

async fn repository(rig: &Rig) -> Repository<'_> {
    let folder = rig.folder.path().join("work");
    std::fs::create_dir(&folder).unwrap();
    let repository = Repository { rig, folder };
    repository.ok("git", &["init", "--quiet", "--initial-branch=trunk"]).await;
    repository
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_repository_is_set_up_and_mended(db: PgPool) {
    let rig = Rig::logged_in(&db).await;
    let repository = repository(&rig).await;
    let url = format!("{}/shop.git", rig.url);
    let told = repository.ok("slipway", &["git", "setup", "shop"]).await;
    assert!(told.contains(&format!("The remote slipway is {url}.")), "{told}");
    assert!(told.contains("git push slipway trunk"), "{told}");
    assert!(repository.ok("slipway", &["git", "setup", "shop"]).await.contains("already"));
    repository.ok("git", &["remote", "set-url", "slipway", "http://elsewhere.example/shop.git"]).await;
    let told = repository.ok("slipway", &["git", "setup", "shop"]).await;
    assert!(told.contains("it was http://elsewhere.example/shop.git"), "{told}");
    assert_eq!(repository.ok("git", &["remote", "get-url", "slipway"]).await.trim(), url);
    let helpers = repository.ok("git", &["config", "--get-all", &format!("credential.{url}.helper")]).await;
    let lines: Vec<_> = helpers.lines().collect();
    let expected = format!("!slipway --config '{}' git credential", rig.config().display());
    assert_eq!(lines, ["", expected.as_str()], "once, however often it was set up");
    repository.ok("slipway", &["git", "setup", "shop", "--remote", "live"]).await;
    assert_eq!(repository.ok("git", &["remote", "get-url", "live"]).await.trim(), url);

    let apps = rig.ok(&["apps", "list"]).await;
    assert!(!apps.contains("shop"), "nothing is created on the server: {apps}");
    let bad = stderr(&repository.run("slipway", &["git", "setup", "../evil"]).await);
    assert!(bad.contains("is no application's name"), "{bad}");
    let bad = stderr(&repository.run("slipway", &["git", "setup", "shop", "--remote", "a..b"]).await);
    assert!(bad.contains("not a valid remote name"), "{bad}");
    std::fs::remove_dir_all(repository.folder.join(".git")).unwrap();
    let outside = stderr(&repository.run("slipway", &["git", "setup", "shop"]).await);
    assert!(outside.contains("go into the application's repository"), "{outside}");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn git_gets_the_login_for_this_remote_alone(db: PgPool) {
    let rig = Rig::logged_in(&db).await;
    let repository = repository(&rig).await;
    repository.ok("slipway", &["git", "setup", "demo"]).await;
    let of = |url: &str| format!("url={url}\n\n");
    let own = format!("{}/demo.git", rig.url);
    let filled = repository.credential("fill", &of(&own)).await;
    let answer = String::from_utf8(filled.stdout.clone()).unwrap();
    assert!(answer.contains("username=slipway\n") && answer.contains(TOKEN), "{answer} {}", stderr(&filled));

    let other = repository.credential("fill", &of("http://elsewhere.example/demo.git")).await;
    assert!(!String::from_utf8_lossy(&other.stdout).contains(TOKEN), "{other:?}");
    let asked =
        format!("protocol=http\nhost={}\nusername=slipway\npassword=", rig.url.trim_start_matches("http://"));
    let mine = format!("{asked}{TOKEN}\npath=demo.git\n\n");
    let rejected = stderr(&repository.credential("reject", &mine).await);
    assert!(rejected.contains("rejects the token of your login"), "{rejected}");
    let another = format!("{asked}another\npath=demo.git\n\n");
    assert_eq!(stderr(&repository.credential("reject", &another).await), "");

    rig.ok(&["login", &rig.url.replace("slipway.localhost", "127.0.0.1"), "--token", TOKEN]).await;
    let elsewhere = repository.credential("fill", &of(&own)).await;
    assert!(stderr(&elsewhere).contains(&format!("not to {}/", rig.url)), "{}", stderr(&elsewhere));
    assert!(!String::from_utf8_lossy(&elsewhere.stdout).contains(TOKEN));
}

/// Answers 401 until a request holds the `accepted` login, then with a repository without branches; the logins it saw.
async fn git_server(listener: TcpListener, accepted: &'static str) -> Vec<String> {
    let mut logins = Vec::new();
    while logins.is_empty() {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(connection.read_u8().await.unwrap());
        }
        let request = String::from_utf8(request).unwrap();
        let login = request.lines().find_map(|line| line.strip_prefix("Authorization: "));
        let (status, body) = match login {
            Some(login) if login == accepted => ("200 OK", "001e# service=git-upload-pack\n00000000"),
            _ => ("401 Unauthorized", ""),
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: {}\r\nConnection: close\r\n\
             Content-Type: application/x-git-upload-pack-advertisement\r\n\r\n{body}",
            body.len()
        );
        connection.write_all(answer.as_bytes()).await.unwrap();
        logins.extend(login.map(str::to_owned));
    }
    logins
}

/// What git said of a remote at a server that accepts one login, and the logins that the server saw.
async fn ls_remote(rig: &Rig, repository: &Repository<'_>, accepted: &'static str) -> (Output, Vec<String>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let saved = serde_json::json!({"url": url, "token": "slip_x"}).to_string();
    std::fs::write(rig.config(), saved).unwrap();
    repository.ok("slipway", &["git", "setup", "demo"]).await;
    let mut server = JoinSet::new();
    server.spawn(git_server(listener, accepted));
    let output = repository.run("git", &["ls-remote", "slipway"]).await;
    (output, server.join_next().await.unwrap().unwrap())
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn git_logs_in_over_http(db: PgPool) {
    const LOGIN: &str = "Basic c2xpcHdheTpzbGlwX3g=";
    let rig = Rig::logged_in(&db).await;
    let repository = repository(&rig).await;
    // Of a helper that was there before, which would keep the token too.
    let spy = repository.folder.join("spy");
    let helper = format!("!cat >> {} && :", spy.display());
    repository.ok("git", &["config", "credential.helper", &helper]).await;
    let (output, logins) = ls_remote(&rig, &repository, LOGIN).await;
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(logins, [LOGIN], "slipway:slip_x");
    assert!(!spy.exists(), "{:?}", std::fs::read_to_string(&spy));

    let (output, logins) = ls_remote(&rig, &repository, "another").await;
    assert_eq!(logins, [LOGIN]);
    let told = stderr(&output);
    assert!(
        told.contains("rejects the token of your login") && told.contains("Authentication failed"),
        "{told}"
    );
    assert!(!spy.exists(), "{:?}", std::fs::read_to_string(&spy));
}

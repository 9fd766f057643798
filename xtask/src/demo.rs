//! The demo application: a repository on the forge, the application in Slipway, the webhook between them, and a push.
//! Each piece is made only if it is missing.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::http::Request;
use crate::layout::Layout;
use crate::platform::{DEMO_URL, FORGE_URL, WEB_URL, forge, postgres};
use crate::progress::{note, step};
use crate::{command, secret};

const NAME: &str = "demo";
/// The first build fetches npm packages and fills an empty cache.
const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) fn ensure(layout: &Layout) -> anyhow::Result<()> {
    wait_for_api(layout)?;
    if answers() && api(layout, "GET", &format!("apps/{NAME}"))?.send()?.status == 200 {
        note(&format!("the demo application answers at {DEMO_URL}"));
        return Ok(());
    }
    let log = layout.log("demo");
    step("create the demo application, push it, wait for its answer", Some(&log), || {
        let forge_token = forge::token(layout)?;
        ensure_repository(&forge_token)?;
        let hook = ensure_application(layout, &forge_token)?;
        ensure_webhook(&forge_token, &hook)?;
        if forge("GET", &format!("repos/{}/{NAME}/branches/main", forge::USER), &forge_token).send()?.status
            == 404
        {
            push(layout, &log)?;
        }
        wait(layout, &log)
    })
}

/// The router learns of a new pod of the web a moment after the pod is ready.
fn wait_for_api(layout: &Layout) -> anyhow::Result<()> {
    const PATIENCE: Duration = Duration::from_secs(30);
    let end = Instant::now() + PATIENCE;
    loop {
        let problem = match api(layout, "GET", "apps")?.send() {
            Ok(answer) if answer.status == 200 => return Ok(()),
            Ok(answer) => answer.json().map(drop).err(),
            Err(error) => Some(error),
        };
        if let Some(problem) = problem.filter(|_| Instant::now() > end) {
            return Err(problem).with_context(|| format!("{WEB_URL} does not let the administrator in"));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn answers() -> bool {
    Request::new("GET", &format!("{DEMO_URL}/")).send().is_ok_and(|answer| answer.status == 200)
}

fn ensure_repository(forge_token: &str) -> anyhow::Result<()> {
    let path = format!("repos/{}/{NAME}", forge::USER);
    if forge("GET", &path, forge_token).send()?.status != 404 {
        return Ok(());
    }
    let repository = json!({"name": NAME, "private": true, "default_branch": "main"});
    forge("POST", "user/repos", forge_token).json(&repository).send()?.json().map(drop)
}

/// Where the forge has to deliver, and the secret it has to sign with.
struct Hook {
    url: String,
    secret: String,
}

fn ensure_application(layout: &Layout, forge_token: &str) -> anyhow::Result<Hook> {
    let known = api(layout, "GET", &format!("apps/{NAME}"))?.send()?;
    if known.status != 404 {
        let url = known.json()?["hook_url"].as_str().context("the application has no hook")?.to_owned();
        // Slipway tells the secret once, and an interrupted run may have missed it.
        let secret = postgres::slipway_value(&format!(
            "select secret from hook join app on app.id = hook.app_id where app.name = '{NAME}'"
        ))?;
        return Ok(Hook { url, secret });
    }
    let body = json!({
        "name": NAME,
        "forge": "gitea",
        "repo_url": format!("{}/{}/{NAME}.git", forge::url(), forge::USER),
        "forge_user": forge::USER,
        "forge_token": forge_token,
        "default_branch": "main",
    });
    let made = api(layout, "POST", "apps")?.json(&body).send()?.json()?;
    let field = |name: &str| {
        made["hook"][name].as_str().map(str::to_owned).context("the new application has no hook")
    };
    Ok(Hook { url: field("url")?, secret: field("secret")? })
}

fn ensure_webhook(forge_token: &str, hook: &Hook) -> anyhow::Result<()> {
    let path = format!("repos/{}/{NAME}/hooks", forge::USER);
    let known = forge("GET", &path, forge_token).send()?.json()?;
    if known.as_array().into_iter().flatten().any(|known| known["config"]["url"] == hook.url.as_str()) {
        return Ok(());
    }
    let config = json!({"url": hook.url, "content_type": "json", "secret": hook.secret});
    let events = ["push", "create", "delete"];
    let body = json!({"type": "gitea", "active": true, "events": events, "config": config});
    forge("POST", &path, forge_token).json(&body).send()?.json().map(drop)
}

/// Pushes tests/apps/node as a user would. The password is in git's environment, never in its arguments.
fn push(layout: &Layout, log: &Path) -> anyhow::Result<()> {
    let work = layout.data.join("images/demo");
    std::fs::remove_dir_all(&work).ok();
    std::fs::create_dir_all(layout.data.join("images"))?;
    command::output(Command::new("cp").arg("-r").arg(layout.repo.join("tests/apps/node")).arg(&work))?;
    let login = STANDARD.encode(format!("{}:{}", forge::USER, forge::PASSWORD));
    let git = |args: &[&str]| {
        let mut git = Command::new("git");
        git.current_dir(&work).args(args);
        git.envs([
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_CONFIG_SYSTEM", "/dev/null"),
            ("GIT_TERMINAL_PROMPT", "0"),
        ]);
        git.envs([("GIT_AUTHOR_NAME", forge::USER), ("GIT_AUTHOR_EMAIL", "slip@example.com")]);
        git.envs([("GIT_COMMITTER_NAME", forge::USER), ("GIT_COMMITTER_EMAIL", "slip@example.com")]);
        git.envs([("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "http.extraHeader")]);
        git.env("GIT_CONFIG_VALUE_0", format!("Authorization: Basic {login}"));
        command::run(&mut git, log)
    };
    git(&["init", "--quiet", "--initial-branch=main"])?;
    git(&["add", "--all"])?;
    git(&["commit", "--quiet", "--message=The demo application"])?;
    git(&["push", "--quiet", &format!("{FORGE_URL}/{}/{NAME}.git", forge::USER), "main"])
}

fn wait(layout: &Layout, log: &Path) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    let mut told = String::new();
    while !answers() {
        let newest = newest_build(layout)?;
        let state = newest.as_ref().map_or_else(|| "no build yet".to_owned(), describe);
        if state != told {
            writeln!(command::open_log(log)?, "{state}")?;
            told = state;
        }
        let failed = newest.as_ref().is_some_and(has_failed);
        anyhow::ensure!(!failed, "the demo application does not run: {told}; see {WEB_URL}/apps/{NAME}");
        anyhow::ensure!(
            Instant::now() < end,
            "{DEMO_URL} does not answer after {} s ({told}); see {WEB_URL}/apps/{NAME}",
            PATIENCE.as_secs()
        );
        std::thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}

/// `build #1 failed: step "npm ci" failed`, `build #1 succeeded, release v1 rolling`
fn describe(build: &Value) -> String {
    let state = |of: &Value| {
        let reason =
            of["reason"]["message"].as_str().map(|message| format!(": {message}")).unwrap_or_default();
        format!("{}{reason}", of["state"].as_str().unwrap_or("unknown"))
    };
    let release = &build["release"];
    let rolled = if release.is_null() {
        String::new()
    } else {
        format!(", release v{} {}", release["version"], state(release))
    };
    format!("build #{} {}{rolled}", build["number"], state(build))
}

/// Whether a build, or its release, has ended without a running version.
fn has_failed(build: &Value) -> bool {
    build["state"] == "failed" || build["release"]["state"] == "failed"
}

/// The application's newest build, if there is one.
fn newest_build(layout: &Layout) -> anyhow::Result<Option<Value>> {
    let answer = api(layout, "GET", &format!("apps/{NAME}/builds?limit=1"))?.send()?.json()?;
    Ok(answer["builds"].get(0).cloned())
}

fn forge(method: &str, path: &str, token: &str) -> Request {
    Request::new(method, &format!("{}/api/v1/{path}", forge::url()))
        .header(&format!("Authorization: token {token}"))
}

fn api(layout: &Layout, method: &str, path: &str) -> anyhow::Result<Request> {
    let token = secret::read(&layout.admin_token())?.context("there is no administrator's token")?;
    let request = Request::new(method, &format!("{WEB_URL}/api/v1/{path}"));
    Ok(request.header(&format!("Authorization: Bearer {token}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_is_told_in_one_line() {
        let build = json!({"number": 1, "state": "failed", "reason": {"message": "npm ci exited with 1"}});
        assert_eq!(describe(&build), "build #1 failed: npm ci exited with 1");
        assert!(has_failed(&build));
        let build = json!({"number": 2, "state": "succeeded", "release": {"version": 1, "state": "rolling"}});
        assert_eq!(describe(&build), "build #2 succeeded, release v1 rolling");
        assert!(!has_failed(&build));
    }
}

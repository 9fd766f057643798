//! The demo application: one push to Slipway's own git remote makes it, builds it and runs it. It is left alone once it
//! answers, also one of an older version, which was built from a forge.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::http::Request;
use crate::layout::Layout;
use crate::platform::{DEMO_URL, WEB_URL};
use crate::progress::{note, step};
use crate::{command, secret};

const NAME: &str = "demo";
/// The first build fetches npm packages and fills an empty cache.
const PATIENCE: Duration = Duration::from_secs(300);
/// Whoever writes the commit. Always at the same time, so that the same files are the same commit, and a push that was
/// interrupted is taken up again by the next one.
const IDENTITY: [(&str, &str); 6] = [
    ("GIT_AUTHOR_NAME", "Slipway"),
    ("GIT_AUTHOR_EMAIL", "slipway@example.com"),
    ("GIT_AUTHOR_DATE", "2026-01-01T00:00:00Z"),
    ("GIT_COMMITTER_NAME", "Slipway"),
    ("GIT_COMMITTER_EMAIL", "slipway@example.com"),
    ("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z"),
];

/// Its repository at Slipway.
pub(crate) fn remote() -> String {
    format!("{WEB_URL}/{NAME}.git")
}

/// What to do next, for a person.
pub(crate) fn how_to_push() -> Vec<String> {
    vec![
        format!("change it: git clone {} (any user name, the token as password)", remote()),
        "  edit a file, then: git commit --all --message 'My change' && git push".to_owned(),
    ]
}

pub(crate) fn ensure(layout: &Layout) -> anyhow::Result<()> {
    wait_for_api(layout)?;
    let app = known(layout)?;
    if let Some(app) = app.as_ref().filter(|_| answers()) {
        let origin =
            app["repo_url"].as_str().map(|forge| format!(", built from {forge}")).unwrap_or_default();
        note(&format!("the demo application answers at {DEMO_URL}{origin}"));
        return Ok(());
    }
    let log = layout.log("demo");
    step("push the demo application, wait for its answer", Some(&log), || {
        if app.as_ref().is_none_or(needs_push) {
            push(layout, &log)?;
        }
        wait(layout, &log)
    })
}

/// The application, if there is one of this name.
fn known(layout: &Layout) -> anyhow::Result<Option<Value>> {
    let answer = api(layout, "GET", &format!("apps/{NAME}"))?.send()?;
    if answer.status == 404 { Ok(None) } else { answer.json().map(Some) }
}

/// Whether nothing of it can come up by itself: it was never built, or that failed. What comes from a forge is not ours
/// to push, and what was live before comes back with its pods.
fn needs_push(app: &Value) -> bool {
    app["forge"].is_null() && (app["last_build"].is_null() || has_failed(app))
}

/// Whether its newest build, or that one's release, has ended without a running version, and there is none before it.
fn has_failed(app: &Value) -> bool {
    let mut environments = app["environments"].as_array().into_iter().flatten();
    let was_live = environments.any(|environment| !environment["live"].is_null());
    let build = &app["last_build"];
    !was_live && (build["state"] == "failed" || build["release"]["state"] == "failed")
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

/// Pushes tests/apps/node as a user would. The token is in git's environment, never in its arguments.
fn push(layout: &Layout, log: &Path) -> anyhow::Result<()> {
    let work = layout.data.join("images/demo");
    std::fs::remove_dir_all(&work).ok();
    std::fs::create_dir_all(layout.data.join("images"))?;
    command::output(Command::new("cp").arg("-r").arg(layout.repo.join("tests/apps/node")).arg(&work))?;
    let login = STANDARD.encode(format!("admin:{}", token(layout)?));
    let git = |args: &[&str]| {
        let mut git = Command::new("git");
        git.current_dir(&work).args(args).envs(IDENTITY);
        git.envs([
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_CONFIG_SYSTEM", "/dev/null"),
            ("GIT_TERMINAL_PROMPT", "0"),
        ]);
        git.envs([("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "http.extraHeader")]);
        git.env("GIT_CONFIG_VALUE_0", format!("Authorization: Basic {login}"));
        command::run(&mut git, log)
    };
    git(&["init", "--quiet", "--initial-branch=main"])?;
    git(&["add", "--all"])?;
    git(&["commit", "--quiet", "--message=The demo application"])?;
    // Ends when the application is live, with the build's log on the way. Without --progress git asks the server to be
    // quiet, because this is no terminal.
    git(&["push", "--progress", &remote(), "main"])
}

fn wait(layout: &Layout, log: &Path) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    let mut told = String::new();
    while !answers() {
        let app = known(layout)?.unwrap_or_default();
        let state = describe(&app["last_build"]);
        if state != told {
            writeln!(command::open_log(log)?, "{state}")?;
            told = state;
        }
        anyhow::ensure!(
            !has_failed(&app),
            "the demo application does not run: {told}; see {WEB_URL}/apps/{NAME}"
        );
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
    if build.is_null() {
        return "no build yet".to_owned();
    }
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

fn api(layout: &Layout, method: &str, path: &str) -> anyhow::Result<Request> {
    let request = Request::new(method, &format!("{WEB_URL}/api/v1/{path}"));
    Ok(request.header(&format!("Authorization: Bearer {}", token(layout)?)))
}

fn token(layout: &Layout) -> anyhow::Result<String> {
    secret::read(&layout.admin_token())?.context("there is no administrator's token")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_cannot_come_up_by_itself_is_pushed() {
        let app = |forge: Value, live: Value, build: Value| {
            let environments = json!([{"live": live}]);
            json!({"forge": forge, "environments": environments, "last_build": build})
        };
        let failed = json!({"state": "failed"});
        let no_roll_out = json!({"state": "succeeded", "release": {"state": "failed"}});
        assert!(needs_push(&json!({"forge": null, "environments": [], "last_build": null})));
        assert!(needs_push(&app(Value::Null, Value::Null, failed.clone())));
        assert!(needs_push(&app(Value::Null, Value::Null, no_roll_out)));
        assert!(!needs_push(&app(Value::Null, Value::Null, json!({"state": "running"}))));
        assert!(!needs_push(&app(Value::Null, json!({"version": 1}), failed.clone())), "its pods come back");
        assert!(!needs_push(&app(json!("gitea"), Value::Null, failed)), "it is built from its forge");
    }

    #[test]
    fn a_build_is_told_in_one_line() {
        let build = json!({"number": 1, "state": "failed", "reason": {"message": "npm ci exited with 1"}});
        assert_eq!(describe(&build), "build #1 failed: npm ci exited with 1");
        let build = json!({"number": 2, "state": "succeeded", "release": {"version": 1, "state": "rolling"}});
        assert_eq!(describe(&build), "build #2 succeeded, release v1 rolling");
        assert_eq!(describe(&Value::Null), "no build yet");
    }
}

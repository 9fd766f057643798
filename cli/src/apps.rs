//! `slipway apps`: create, list, show, set.

use std::io::Write;

use anyhow::Result;
use clap::ValueEnum as _;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use crate::args::{Apps, CreateApp, Forge, SetApp};
use crate::client::{Server, segment};
use crate::envs::stays;
use crate::login;
use crate::show::{self, Cell, ago, array, paint, status, text};

pub(crate) async fn run(server: &Server, command: &Apps, as_json: bool, out: &mut dyn Write) -> Result<()> {
    let answer = match command {
        Apps::Create(wanted) => create(server, wanted).await?,
        Apps::List => server.get("/apps").await?,
        Apps::Show { app } => server.get(&format!("/apps/{app}")).await?,
        Apps::Set(wanted) => set(server, wanted).await?,
    };
    match command {
        _ if as_json => Ok(writeln!(out, "{answer:#}")?),
        Apps::Create(_) => created(out, &answer),
        Apps::List => list(out, &answer),
        Apps::Show { .. } | Apps::Set(_) => one(out, &answer),
    }
}

async fn create(server: &Server, wanted: &CreateApp) -> Result<Value> {
    let forge_token = match &wanted.forge_token_file {
        Some(file) => Some(login::from_file(file)?),
        None if wanted.forge_token_stdin => Some(login::from_input("Forge token")?),
        None => None,
    };
    let forge = wanted.repo.as_ref().map(|_| name(wanted.forge.unwrap_or(Forge::Gitea)));
    let body = json!({
        "name": wanted.name, "forge": forge, "repo_url": wanted.repo, "default_branch": wanted.branch,
        "forge_user": wanted.forge_user, "forge_token": forge_token, "api_url": wanted.api_url,
        "dockerfile": wanted.dockerfile, "context": wanted.context, "target": wanted.target, "port": wanted.port, "health_path": wanted.health_path,
    });
    server.json(server.request(Method::POST, "/apps").json(&body)).await
}

async fn set(server: &Server, wanted: &SetApp) -> Result<Value> {
    let mut body = json!({});
    show::put(&mut body, "team", &wanted.team);
    show::put(&mut body, "weight", &wanted.weight);
    show::put(&mut body, "build_limit", &wanted.builds);
    show::put(&mut body, "dockerfile", &wanted.dockerfile);
    show::put(&mut body, "context", &wanted.context);
    show::put(&mut body, "target", &wanted.target);
    show::put(&mut body, "port", &wanted.port);
    if let (Some(branch), Some(policy)) = (&wanted.branch, wanted.policy) {
        body["branches"] = json!({ branch: policy.word() });
    }
    server.json(server.request(Method::PATCH, &format!("/apps/{}", segment(&wanted.app))).json(&body)).await
}

fn name(forge: Forge) -> String {
    forge.to_possible_value().map(|it| it.get_name().to_owned()).unwrap_or_default()
}

fn created(out: &mut dyn Write, answer: &Value) -> Result<()> {
    let (app, hook) = (&answer["app"], &answer["hook"]);
    if hook.is_null() {
        let name = text(&app["name"]);
        writeln!(out, "{name} was created. Push to it from its repository:")?;
        writeln!(out, "\n  git remote add slipway {}", text(&answer["remote"]))?;
        writeln!(out, "  git push slipway {}", text(&app["default_branch"]))?;
        writeln!(out, "\n`slipway git setup {name}` does the first line and lets git use your login.")?;
    } else {
        let place = match text(&app["forge"]).as_str() {
            "gogs" => "Settings > Webhooks > Add a new webhook > Gogs; just the push event",
            "github" => "Settings > Webhooks > Add webhook; just the push event",
            _ => "Settings > Webhooks > Add webhook > Gitea; trigger on push events",
        };
        writeln!(
            out,
            "{} was created. If its default branch exists, it is being built.",
            text(&app["name"])
        )?;
        writeln!(out, "\nFor pushes, add a webhook to the repository: {place}")?;
        writeln!(out, "  URL           {}", text(&hook["url"]))?;
        writeln!(out, "  Content type  application/json")?;
        writeln!(out, "  Secret        {}  (shown only now)", text(&hook["secret"]))?;
    }
    writeln!(out, "\nIts page: {}", text(&app["page"]))?;
    Ok(())
}

/// The version that serves, with the newest one beside it when that is another.
pub(crate) fn serving(env: &Value) -> String {
    let (live, newest) = (&env["live"], &env["newest"]);
    let one = |release: &Value| format!("v{} {}", release["version"], text(&release["state"]));
    match (live.is_null(), newest.is_null()) {
        (_, true) => "nothing yet".to_owned(),
        (true, false) => one(newest),
        (false, false) if live["version"] == newest["version"] => one(live),
        (false, false) => format!("{}; {}", one(live), one(newest)),
    }
}

fn list(out: &mut dyn Write, answer: &Value) -> Result<()> {
    let now = Timestamp::now();
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for app in array(&answer["apps"]) {
        let build = &app["last_build"];
        let last = if build.is_null() { "-".to_owned() } else { format!("#{}", build["number"]) };
        let start: Vec<Cell> = vec![
            text(&app["name"]).into(),
            last.into(),
            status(&build["status"]),
            ago(&build["created_at"], now).into(),
        ];
        let environments = array(&app["environments"]);
        if environments.is_empty() {
            rows.push(start.iter().cloned().chain(["-".into(), "-".into(), "-".into()]).collect());
        }
        for (index, env) in environments.iter().enumerate() {
            // Further environments stand under the first.
            let start = if index == 0 { start.clone() } else { vec![Cell::default(); start.len()] };
            let env = [text(&env["name"]), serving(env), text(&env["url"])].map(Cell::from);
            rows.push(start.into_iter().chain(env).collect());
        }
    }
    if rows.is_empty() {
        writeln!(out, "No application yet: slipway apps create NAME")?;
        return Ok(());
    }
    show::table(out, &["app", "build", "state", "pushed", "environment", "serving", "url"], &rows)
}

fn one(out: &mut dyn Write, app: &Value) -> Result<()> {
    let fields = [
        ("Name", "name"),
        ("Forge", "forge"),
        ("Repository", "repo_url"),
        ("Remote", "remote"),
        ("Default branch", "default_branch"),
        ("Dockerfile", "dockerfile"),
        ("Context", "context"),
        ("Target", "target"),
        ("Port", "port"),
        ("Health path", "health_path"),
        ("Webhook", "hook_url"),
        ("Page", "page"),
    ];
    for (label, field) in fields.into_iter().filter(|(_, field)| !app[field].is_null()) {
        writeln!(out, "{label:15} {}", text(&app[field]))?;
    }
    let (team, weight, limit) = (text(&app["team"]), &app["weight"], &app["build_limit"]);
    writeln!(out, "{:15} team {team}, weight {weight}, builds at a time: {limit}", "Share")?;
    for (branch, policy) in app["branches"].as_object().into_iter().flatten() {
        writeln!(out, "{:15} of {branch}: {}", "Commits built", text(policy))?;
    }
    let build = &app["last_build"];
    if !build.is_null() {
        let age = ago(&build["created_at"], Timestamp::now());
        let (state, subject) = (paint(&status(&build["status"])), text(&build["subject"]));
        writeln!(out, "{:15} #{} {state}, {age}: {subject}", "Last build", build["number"])?;
    }
    for env in array(&app["environments"]) {
        writeln!(
            out,
            "{:15} {}: {}  {}",
            "Environment",
            text(&env["name"]),
            serving(env),
            text(&env["url"])
        )?;
        if !env["expires_at"].is_null() || !env["removal_asked_at"].is_null() {
            writeln!(out, "{:15} {}", "", stays(env, Timestamp::now()))?;
        }
        let reason = &env["newest"]["reason"];
        if !reason.is_null() {
            writeln!(out, "{:15} v{} failed: {}", "", env["newest"]["version"], text(&reason["message"]))?;
        }
    }
    Ok(())
}

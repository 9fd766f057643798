//! `slipway envs`: list, remove.

use std::io::Write;

use anyhow::Result;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::Value;

use crate::apps::serving;
use crate::args::Envs;
use crate::client::{Server, segment};
use crate::show::{self, Cell, ahead, array, text};

pub(crate) async fn run(server: &Server, command: &Envs, as_json: bool, out: &mut dyn Write) -> Result<()> {
    match command {
        Envs::List { app } => {
            let answer = server.get(&format!("/apps/{}/environments", segment(app))).await?;
            if as_json { Ok(writeln!(out, "{answer:#}")?) } else { list(out, &answer) }
        }
        Envs::Remove { app, env } => {
            let path = format!("/apps/{}/environments/{}", segment(app), segment(env));
            server.send(server.request(Method::DELETE, &path)).await?;
            // The API answers nothing.
            if as_json { Ok(()) } else { Ok(writeln!(out, "{env} of {app} is being removed.")?) }
        }
    }
}

fn list(out: &mut dyn Write, answer: &Value) -> Result<()> {
    let now = Timestamp::now();
    let row = |env: &Value| -> Vec<Cell> {
        let cells =
            [text(&env["name"]), text(&env["branch"]), serving(env), stays(env, now), text(&env["url"])];
        cells.into_iter().map(Cell::from).collect()
    };
    let rows: Vec<_> = array(&answer["environments"]).iter().map(row).collect();
    if rows.is_empty() {
        writeln!(out, "No environment: the first build that succeeds makes one")?;
        return Ok(());
    }
    show::table(out, &["environment", "branch", "serving", "stays", "url"], &rows)
}

/// How long it stays.
pub(crate) fn stays(env: &Value, now: Timestamp) -> String {
    match (env["removal_asked_at"].is_null(), env["expires_at"].is_null()) {
        (false, _) => "is being removed".to_owned(),
        (true, false) => format!("removed {}", ahead(&env["expires_at"], now)),
        (true, true) => "until it is removed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn how_long_it_stays() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        for (expires_at, removal_asked_at, shown) in [
            (json!(null), json!(null), "until it is removed"),
            (json!("2026-01-03T00:00:30Z"), json!(null), "removed in 2 d"),
            (json!("2025-12-31T23:59:00Z"), json!("2025-12-31T23:59:05Z"), "is being removed"),
        ] {
            let env = json!({"expires_at": expires_at, "removal_asked_at": removal_asked_at});
            assert_eq!(stays(&env, now), shown);
        }
    }
}

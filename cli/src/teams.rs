//! `slipway teams`: list, set.

use std::io::Write;

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};

use crate::args::Teams;
use crate::client::{Server, segment};
use crate::show::{self, Cell, array, text};

pub(crate) async fn run(server: &Server, command: &Teams, as_json: bool, out: &mut dyn Write) -> Result<()> {
    match command {
        Teams::List => {
            let answer = server.get("/teams").await?;
            if as_json { Ok(writeln!(out, "{answer:#}")?) } else { list(out, &answer) }
        }
        Teams::Set { team, weight, builds } => {
            let path = format!("/teams/{}", segment(team));
            let mut body = json!({});
            show::put(&mut body, "weight", weight);
            show::put(&mut body, "build_limit", builds);
            server.send(server.request(Method::PUT, &path).json(&body)).await?;
            // The API answers nothing.
            if as_json { Ok(()) } else { Ok(writeln!(out, "Team {team} is set.")?) }
        }
    }
}

fn list(out: &mut dyn Write, answer: &Value) -> Result<()> {
    let row = |team: &Value| -> Vec<Cell> {
        let limit =
            team["build_limit"].as_i64().map_or_else(|| "no limit".to_owned(), |limit| limit.to_string());
        let cells = [
            text(&team["name"]),
            text(&team["weight"]),
            limit,
            text(&team["apps"]),
            text(&team["waiting"]),
            text(&team["running"]),
        ];
        cells.into_iter().map(Cell::from).collect()
    };
    let rows: Vec<_> = array(&answer["teams"]).iter().map(row).collect();
    show::table(out, &["team", "weight", "builds at a time", "applications", "waiting", "running"], &rows)
}

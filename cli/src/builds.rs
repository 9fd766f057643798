//! `slipway builds`: list, one build with its whole story, stopping one, and having one made again.

use std::io::Write;

use anyhow::Result;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::Value;

use crate::args::Builds;
use crate::client::{Server, segment};
use crate::show::{self, Cell, ago, array, paint, status, text, took};

pub(crate) async fn run(server: &Server, command: &Builds, as_json: bool, out: &mut dyn Write) -> Result<()> {
    let answer = match command {
        Builds::List { app, limit, before } => {
            let before = before.map(|before| format!("&before={before}")).unwrap_or_default();
            server.get(&format!("/apps/{app}/builds?limit={limit}{before}")).await?
        }
        Builds::Show { app, number, provenance, sbom } => {
            let build = server.build(app, *number).await?;
            match document(*provenance, *sbom) {
                Some(name) => {
                    server.get(&format!("/apps/{}/builds/{}/{name}", segment(app), build["number"])).await?
                }
                None => build,
            }
        }
        Builds::Cancel { app, number } => {
            let path = format!("/apps/{}/builds/{number}/cancel", segment(app));
            server.json(server.request(Method::POST, &path)).await?
        }
        Builds::Rebuild { app, number, no_cache } => {
            let path = format!("/apps/{}/builds/{number}/rebuild?no_cache={no_cache}", segment(app));
            server.json(server.request(Method::POST, &path)).await?
        }
    };
    match command {
        _ if as_json => Ok(writeln!(out, "{answer:#}")?),
        Builds::List { .. } => list(out, &answer),
        Builds::Show { provenance, sbom, .. } => match document(*provenance, *sbom) {
            Some(_) => Ok(writeln!(out, "{answer:#}")?),
            None => one(out, &answer),
        },
        Builds::Cancel { .. } => Ok(writeln!(out, "{}", cancelled(&answer))?),
        Builds::Rebuild { app, .. } => Ok(writeln!(
            out,
            "#{number} is queued; `slipway logs {app} {number} -f` follows it, and so does {}",
            text(&answer["page"]),
            number = answer["number"]
        )?),
    }
}

/// What is asked for instead of the build.
const fn document(provenance: bool, sbom: bool) -> Option<&'static str> {
    match (provenance, sbom) {
        (true, _) => Some("provenance"),
        (false, true) => Some("sbom"),
        (false, false) => None,
    }
}

/// A builder that works on it needs a moment to stop.
fn cancelled(build: &Value) -> String {
    let by = build["cancelled_by"].as_str().map(|by| format!(" by {by}")).unwrap_or_default();
    match build["state"].as_str() {
        Some("cancelled") => format!("#{} was cancelled{by}.", build["number"]),
        _ => format!("#{} is being stopped: cancelled{by}.", build["number"]),
    }
}

/// The build's reason of failure, else its release's.
pub(crate) fn reason(build: &Value) -> Option<&Value> {
    [&build["reason"], &build["release"]["reason"]].into_iter().find(|reason| !reason.is_null())
}

fn list(out: &mut dyn Write, answer: &Value) -> Result<()> {
    let now = Timestamp::now();
    let row = |build: &Value| -> Vec<Cell> {
        let about = match (build["superseded_by"].as_u64(), reason(build)) {
            (Some(newer), _) => format!("{} (by #{newer})", text(&build["subject"])),
            (None, Some(reason)) => format!("{}: {}", text(&build["subject"]), text(&reason["message"])),
            (None, None) => text(&build["subject"]),
        };
        let commit: String = text(&build["commit"]).chars().take(8).collect();
        vec![
            format!("#{}", build["number"]).into(),
            status(&build["status"]),
            commit.into(),
            text(&build["branch"]).into(),
            text(&build["author"]).into(),
            ago(&build["created_at"], now).into(),
            took(&build["queued_ms"]).into(),
            took(&build["build_ms"]).into(),
            took(&build["roll_out_ms"]).into(),
            about.into(),
        ]
    };
    let rows: Vec<_> = array(&answer["builds"]).iter().map(row).collect();
    if rows.is_empty() {
        writeln!(out, "No builds: push to the repository")?;
        return Ok(());
    }
    let heading = [
        "build",
        "state",
        "commit",
        "branch",
        "author",
        "pushed",
        "queued",
        "built",
        "rolled out",
        "subject",
    ];
    show::table(out, &heading, &rows)
}

fn one(out: &mut dyn Write, build: &Value) -> Result<()> {
    writeln!(out, "#{} {}  {}", build["number"], paint(&status(&build["status"])), text(&build["subject"]))?;
    let age = ago(&build["created_at"], Timestamp::now());
    let pusher = match (build["rebuild_of"].as_u64(), build["pusher"].as_str()) {
        (Some(first), Some(pusher)) => format!("; #{first} again for {pusher}"),
        (None, Some(pusher)) => format!(" by {pusher}"),
        (_, None) => String::new(),
    };
    writeln!(
        out,
        "Commit   {} on {} by {}, pushed {age}{pusher}",
        text(&build["commit"]),
        text(&build["branch"]),
        text(&build["author"])
    )?;
    let durations =
        ["queued_ms", "build_ms", "roll_out_ms", "push_to_live_ms"].map(|field| took(&build[field]));
    let [queued, built, rolled_out, all] = durations;
    writeln!(out, "Took     queued {queued}, build {built}, roll-out {rolled_out}, push to live {all}")?;
    let release = &build["release"];
    if !release.is_null() {
        let state = paint(&status(&release["state"]));
        writeln!(out, "Release  v{} in {}: {state}", release["version"], text(&release["environment"]))?;
    }
    let queue = &build["queue"];
    if !queue.is_null() {
        let starts_in = &queue["starts_in_ms"];
        let starts = if starts_in.is_null() {
            String::new()
        } else {
            format!(" It begins in about {}.", took(starts_in))
        };
        let (position, waiting) = (&queue["position"], &queue["waiting"]);
        writeln!(out, "Queue    number {position} of {waiting}. {}{starts}", text(&queue["why"]))?;
    }
    let older: Vec<String> = array(&build["supersedes"]).iter().map(|number| format!("#{number}")).collect();
    if !older.is_empty() {
        writeln!(out, "         took the place of {}", older.join(", "))?;
    }
    if let Some(newer) = build["superseded_by"].as_u64() {
        writeln!(out, "         superseded by #{newer}, a newer commit of {}", text(&build["branch"]))?;
    }
    if !build["cancelled_at"].is_null() {
        let age = ago(&build["cancelled_at"], Timestamp::now());
        let by = build["cancelled_by"].as_str().map(|by| format!("by {by}, ")).unwrap_or_default();
        writeln!(out, "         cancelled {by}{age}")?;
    }
    for base in array(&build["bases"]) {
        writeln!(out, "From     {} {}", text(&base["name"]), text(&base["digest"]))?;
    }
    writeln!(out, "URL      {}", text(&build["url"]))?;
    writeln!(out, "Page     {}", text(&build["page"]))?;
    if !array(&build["steps"]).is_empty() {
        writeln!(out)?;
    }
    for step in array(&build["steps"]) {
        writeln!(out, "  {:8} {:>9}  {}", text(&step["state"]), took(&step["took_ms"]), text(&step["name"]))?;
    }
    reason(build).map_or(Ok(()), |reason| print_reason(out, reason))
}

pub(crate) fn print_reason(out: &mut dyn Write, reason: &Value) -> Result<()> {
    writeln!(out, "\nFailed: {}", text(&reason["message"]))?;
    for line in array(&reason["lines"]) {
        writeln!(out, "  | {}", text(line))?;
    }
    writeln!(out, "{}", text(&reason["hint"]))?;
    if reason["fault"] == "platform" {
        writeln!(out, "This is a fault of the platform, not of the application.")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_cancelling_did() {
        for (state, by, said) in [
            ("cancelled", json!("ada"), "#7 was cancelled by ada."),
            ("running", json!("ada"), "#7 is being stopped: cancelled by ada."),
            ("cancelled", json!(null), "#7 was cancelled."),
        ] {
            assert_eq!(cancelled(&json!({"number": 7, "state": state, "cancelled_by": by})), said);
        }
    }

    #[test]
    fn one_build_with_who_cancelled_it_and_what_it_began_from() {
        let build = json!({
            "number": 7, "status": "cancelled", "cancelled_by": "ada", "cancelled_at": "2026-01-01T00:00:00Z",
            "bases": [{"name": "alpine:3.22", "digest": "sha256:ba5e"}],
        });
        let mut out = Vec::new();
        one(&mut out, &build).unwrap();
        let said = String::from_utf8(out).unwrap();
        assert!(
            said.contains("cancelled by ada, ") && said.contains("From     alpine:3.22 sha256:ba5e"),
            "{said}"
        );
    }
}

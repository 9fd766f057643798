//! What became of a build, and what it left behind.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result};
use reqwest::Client;
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

use super::cell::{Cell, Outcome};
use super::world::{self, World};
use crate::wait;

/// No build of a cell takes longer, whatever happens to it.
const PATIENCE: Duration = Duration::from_secs(120);
const LEFT_PATIENCE: Duration = Duration::from_secs(15);

/// The build's row when it has ended.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Ended {
    pub state: String,
    pub attempt: i32,
    pub code: Option<String>,
    pub message: Option<String>,
    pub digest: Option<String>,
    pub number: i32,
    /// Seconds since 1970, by the database's clock.
    pub finished_at: f64,
}

pub async fn ended(db: &PgPool, build: Uuid) -> Result<Ended> {
    wait::until("the build to end", PATIENCE, || async {
        let row: Option<Ended> = sqlx::query_as(
            "select state::text, attempt, reason->>'code' as code, reason->>'message' as message, digest, number,
                    extract(epoch from finished_at)::float8 as finished_at
             from build where id = $1 and finished_at is not null",
        )
        .bind(build)
        .fetch_optional(db)
        .await?;
        Ok(row.ok_or("it has not"))
    })
    .await
}

/// All that is not as it has to be.
pub async fn findings(
    world: &World,
    db: &PgPool,
    cell: &Cell,
    app: &str,
    build: Uuid,
    ended: &Ended,
) -> Result<Vec<String>> {
    let mut findings = outcome(cell, ended);
    let log = log(world, app, ended.number).await?;
    findings.extend(in_log(&log, app, ended.attempt));
    let text = log.iter().map(|(_, _, text)| text.as_str()).collect::<Vec<_>>().join("\n");
    if !text.contains(cell.says) {
        findings.push(format!("the log does not say {:?}: {text}", cell.says));
    }
    if cell.outcome == Outcome::Retried && !text.contains("starting over") {
        findings.push("the log does not say that it starts over".to_owned());
    }
    findings.extend(in_rows(db, build, ended).await?);
    findings.extend(in_registry(world, app, ended).await?);
    findings.extend(left_behind(db, app).await?);
    Ok(findings)
}

fn outcome(cell: &Cell, ended: &Ended) -> Vec<String> {
    let code = ended.code.as_deref().unwrap_or_default();
    let is_so = match cell.outcome {
        Outcome::Succeeds => ended.state == "succeeded",
        Outcome::Unhurt => ended.state == "succeeded" && ended.attempt == 1,
        Outcome::Retried => ended.state == "succeeded" && ended.attempt > 1,
        Outcome::Fails(expected) => ended.state == "failed" && code == expected,
    };
    if is_so {
        return Vec::new();
    }
    let message = ended.message.as_deref().unwrap_or_default();
    vec![format!(
        "{:?} expected; {} in {} attempts {code} {message}",
        cell.outcome, ended.state, ended.attempt
    )]
}

/// Number, step and text of each line, as the API has them.
async fn log(world: &World, app: &str, number: i32) -> Result<Vec<(i64, i64, String)>> {
    let mut lines = Vec::new();
    loop {
        let from = lines.len();
        let url =
            format!("http://{}/api/v1/apps/{app}/builds/{number}/log?from={from}", world.web.recipe.address);
        let answer = Client::new().get(url).bearer_auth(&world.token).send().await?.error_for_status()?;
        let page: Value = serde_json::from_str(&answer.text().await?)?;
        let more = page["lines"].as_array().context("no lines")?;
        if more.is_empty() {
            return Ok(lines);
        }
        for line in more {
            let number =
                |name: &str| line[name].as_i64().with_context(|| format!("a line without {name}: {line}"));
            lines.push((
                number("number")?,
                number("step")?,
                line["text"].as_str().unwrap_or_default().to_owned(),
            ));
        }
    }
}

fn in_log(log: &[(i64, i64, String)], app: &str, attempts: i32) -> Vec<String> {
    let mut findings = Vec::new();
    if log.iter().zip(0..).any(|((number, ..), expected)| *number != expected) {
        findings
            .push(format!("the log's lines have holes: {:?}", log.iter().map(|it| it.0).collect::<Vec<_>>()));
    }
    // A step says each of its lines once, and runs at most once in an attempt.
    let said: Vec<_> =
        log.iter().filter(|(_, _, text)| text.ends_with(app)).map(|(_, step, text)| (step, text)).collect();
    if said.iter().collect::<BTreeSet<_>>().len() < said.len() {
        findings.push(format!("the log has lines twice: {said:?}"));
    }
    let first = said.iter().filter(|(_, text)| text.starts_with("one ")).count();
    // Shutdowns do not count as attempts.
    if i32::try_from(first).unwrap_or(i32::MAX) > attempts + 1 {
        findings.push(format!("a step ran {first} times in {attempts} attempts"));
    }
    findings
}

async fn in_rows(db: &PgPool, build: Uuid, ended: &Ended) -> Result<Vec<String>> {
    let (images, releases, jobs): (i64, i64, i64) = sqlx::query_as(
        "select (select count(*) from image where build_id = $1), (select count(*) from release where build_id = $1),
                (select count(*) from job where kind = 'build' and subject = $1 and state in ('queued', 'running'))",
    )
    .bind(build)
    .fetch_one(db)
    .await?;
    let expected = i64::from(ended.state == "succeeded");
    let mut findings = Vec::new();
    for (what, count, expected) in
        [("images", images, expected), ("releases", releases, expected), ("jobs", jobs, 0)]
    {
        if count != expected {
            findings.push(format!("{count} {what}, not {expected}"));
        }
    }
    Ok(findings)
}

/// The registry, asked directly, has what was recorded.
async fn in_registry(world: &World, app: &str, ended: &Ended) -> Result<Vec<String>> {
    let Some(digest) = &ended.digest else { return Ok(Vec::new()) };
    let url = format!("http://{}/v2/apps/{app}/manifests/{digest}", world.registry.recipe.address);
    let accepts = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";
    let answer = Client::new().head(url).header("accept", accepts).send().await?;
    let is_there = answer.status().is_success();
    Ok(if is_there { Vec::new() } else { vec![format!("the registry has no {digest}: {}", answer.status())] })
}

async fn left_behind(db: &PgPool, app: &str) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    if world::no_step(&format!(" {app}")).await.is_err() {
        findings.push("a step of the build still runs".to_owned());
    }
    let left = wait::until("leases to end", LEFT_PATIENCE, || async {
        let leases: i64 =
            sqlx::query_scalar("select count(*) from job where kind = 'build' and lease is not null")
                .fetch_one(db)
                .await?;
        Ok(if leases == 0 { Ok(()) } else { Err(leases) })
    });
    if let Err(error) = left.await {
        findings.push(format!("{error:#}"));
    }
    Ok(findings)
}

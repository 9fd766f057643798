//! `slipway logs`: a build's log; with `--follow` until it is live or failed.
//!
//! A connection that was lost is made again from the line after the last one printed, so nothing is lost or repeated.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures::StreamExt as _;
use reqwest::Method;
use serde_json::Value;

use crate::args::Logs;
use crate::builds::{print_reason, reason};
use crate::client::Server;
use crate::show::{array, paint, status, text, took};
use crate::sse::Pending;

const LINES_AT_ONCE: usize = 5000;
/// The server says something at least every 15 s; a connection that is silent for longer is dead.
const SILENCE_MAX: Duration = Duration::from_secs(40);
/// A server that restarts is back within this time.
const PATIENCE: Duration = Duration::from_secs(60);
const TRY_EVERY: Duration = Duration::from_secs(1);

pub(crate) async fn run(server: &Server, logs: &Logs, out: &mut dyn Write) -> Result<ExitCode> {
    let build = server.build(&logs.app, logs.number).await?;
    let path = format!("/apps/{}/builds/{}", logs.app, build["number"]);
    if !logs.follow {
        print(server, &path, out).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let build = follow(server, &path, out).await?;
    out.flush()?;
    conclude(&build, &mut anstream::stderr().lock())
}

/// What is there by now.
async fn print(server: &Server, path: &str, out: &mut dyn Write) -> Result<()> {
    let mut next = 0;
    loop {
        let log = server.get(&format!("{path}/log?from={next}&limit={LINES_AT_ONCE}")).await?;
        let lines = array(&log["lines"]);
        for line in lines {
            writeln!(out, "{}", text(&line["text"]))?;
        }
        next = log["next"].as_u64().context("the server did not say where its log goes on")?;
        if lines.is_empty() {
            return Ok(());
        }
    }
}

/// Where a followed log is.
struct Position {
    next: u64,
    /// When something was last heard.
    heard: Instant,
}

async fn follow(server: &Server, path: &str, out: &mut dyn Write) -> Result<Value> {
    let mut at = Position { next: 0, heard: Instant::now() };
    let mut was_told = false;
    loop {
        let heard = at.heard;
        match stream(server, path, &mut at, out).await {
            Ok(Some(build)) => return Ok(build),
            Err(error) if error.is::<std::io::Error>() => return Err(error),
            Err(error) if at.heard.elapsed() > PATIENCE => return Err(error),
            Ok(None) | Err(_) => {
                if at.heard > heard || !was_told {
                    eprintln!("The connection was lost; trying again.");
                }
                was_told = true;
            }
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
}

/// Prints lines as they come. The build, when it has ended; nothing, when the server ended the stream.
async fn stream(
    server: &Server,
    path: &str,
    at: &mut Position,
    out: &mut dyn Write,
) -> Result<Option<Value>> {
    let request = server.request(Method::GET, &format!("{path}/events?from={}", at.next));
    let mut bytes = server.send(request).await?.bytes_stream();
    let mut pending = Pending::default();
    loop {
        let Ok(piece) = tokio::time::timeout(SILENCE_MAX, bytes.next()).await else {
            bail!("the server has been silent for {} s", SILENCE_MAX.as_secs());
        };
        let Some(piece) = piece else { return Ok(None) };
        at.heard = Instant::now();
        for event in pending.take(&piece.context("the connection broke")?) {
            match event.kind.as_str() {
                "line" => {
                    let line: Value = serde_json::from_str(&event.data)?;
                    writeln!(out, "{}", text(&line["text"]))?;
                    at.next = line["number"].as_u64().context("a line without a number")? + 1;
                }
                "end" => return Ok(Some(serde_json::from_str(&event.data)?)),
                _ => {}
            }
        }
        out.flush()?;
    }
}

/// One line that says how it ended, and why. On standard error: standard output holds the log and nothing else.
fn conclude(build: &Value, out: &mut dyn Write) -> Result<ExitCode> {
    let state = paint(&status(&build["status"]));
    write!(out, "#{} {state}", build["number"])?;
    match (build["status"].as_str(), reason(build)) {
        (_, Some(reason)) => {
            writeln!(out)?;
            print_reason(out, reason)?;
        }
        (Some("live" | "replaced"), None) => {
            let (version, took) = (&build["release"]["version"], took(&build["push_to_live_ms"]));
            writeln!(out, ": v{version} at {}, {took} after the push", text(&build["url"]))?;
        }
        (_, None) => match build["superseded_by"].as_u64() {
            Some(newer) => writeln!(out, " by #{newer}")?,
            None => writeln!(out)?,
        },
    }
    let has_failed = build["status"] == "failed";
    Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

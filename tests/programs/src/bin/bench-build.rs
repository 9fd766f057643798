//! `cargo xtask bench build`: what Slipway's builder takes from the claim of a build to the digest it asked the registry for,
//! beside `buildctl` building and pushing the same change from a local context.
//!
//! Three cases: one changed file of the demo, a pushed tree that was built before, one changed file of 15,000.

#![allow(clippy::print_stdout, reason = "a bench prints its results")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use harness::app;
use harness::bench::plain::Tools;
use harness::bench::stats::{ms, percentile};
use harness::platform::Platform;
use harness::remote::{self, Remote};
use reqwest::Method;
use serde_json::{Value, json};

/// Times builds of one changed file, Slipway's and buildctl's in turn.
#[derive(Debug, Parser)]
struct Arguments {
    /// Rounds of each case, after two that are not counted
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Run only these cases
    #[arg(long, value_delimiter = ',', default_values = ["small", "repush", "large"])]
    cases: Vec<String>,
    /// Write the results here as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    #[command(flatten)]
    tools: Tools,
}

const WARM_UP: usize = 2;
const SOURCE: &str = "node";
const FILES: usize = 15_000;
const DIRECTORIES: usize = 25;
const PATIENCE: Duration = Duration::from_secs(180);

/// A case's application, and what is changed in each round.
struct Case {
    name: &'static str,
    remote: Remote,
    file: &'static str,
    /// The change is one of two, so that the tree was built before.
    again: bool,
}

#[derive(Debug, Default)]
struct Took {
    slipway: Vec<Duration>,
    buildctl: Vec<Duration>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let platform = Platform::from_env()?;
    let mut results = BTreeMap::new();
    for name in ["small", "repush", "large"] {
        if !arguments.cases.iter().any(|it| it == name) {
            continue;
        }
        println!("{name}: setting up");
        let case = case(&platform, name).await?;
        let measured = measure(&arguments, &platform, &case).await;
        remote::put_away(&platform, &case.remote).await?;
        results.insert(name, report(name, &measured?));
    }
    if let Some(path) = &arguments.json {
        std::fs::write(path, format!("{:#}\n", json!(results)))?;
    }
    Ok(())
}

async fn case(platform: &Platform, name: &'static str) -> Result<Case> {
    let remote = remote::create(platform, "bench", SOURCE).await?;
    let file = if name == "large" { "lib/d7/f7.txt" } else { "public/index.html" };
    if name == "large" {
        many_files(&remote.tree.path)?;
    }
    push(&remote).await?;
    app::serves(platform, &remote.app, "demo v1").await?;
    Ok(Case { name, remote, file, again: name == "repush" })
}

/// As large repositories look: many directories, none with most of the files.
fn many_files(tree: &Path) -> Result<()> {
    for number in 0..FILES {
        let directory = tree.join(format!("lib/d{}", number % DIRECTORIES));
        std::fs::create_dir_all(&directory)?;
        std::fs::write(directory.join(format!("f{number}.txt")), format!("file {number}\n").repeat(20))?;
    }
    Ok(())
}

async fn measure(arguments: &Arguments, platform: &Platform, case: &Case) -> Result<Took> {
    let mut took = Took::default();
    let tree = &case.remote.tree.path;
    for round in 0..WARM_UP + arguments.rounds {
        // Of what was built before, the first two rounds are the builds.
        let content = if case.again { round % 2 } else { round };
        change(&tree.join(case.file), content)?;
        let first = round % 2 == 0;
        let mut plain = Duration::ZERO;
        if first {
            plain = buildctl(arguments, case, round).await?;
        }
        let slipway = slipway(platform, case, round).await?;
        if !first {
            plain = buildctl(arguments, case, round).await?;
        }
        if round >= WARM_UP {
            println!(
                "{} round {:2}: buildctl {:7.1} ms, slipway {:7.1} ms",
                case.name,
                round - WARM_UP + 1,
                ms(plain),
                ms(slipway)
            );
            took.buildctl.push(plain);
            took.slipway.push(slipway);
        }
    }
    Ok(took)
}

fn change(file: &Path, content: usize) -> Result<()> {
    if file.extension().is_some_and(|it| it == "html") {
        return app::replace_title(file, &format!("change {content}"));
    }
    Ok(std::fs::write(file, format!("change {content} of {}\n", std::process::id()))?)
}

async fn push(remote: &Remote) -> Result<()> {
    let pushed = remote::push(remote, &[], &["main"]).await?;
    ensure!(pushed.code == Some(0), "the push failed:\n{}", pushed.text);
    Ok(())
}

/// The builder says itself how long it took, in the build's log.
async fn slipway(platform: &Platform, case: &Case, round: usize) -> Result<Duration> {
    remote::commit(&case.remote.tree, &format!("Round {round}")).await?;
    push(&case.remote).await?;
    let name = &case.remote.app.name;
    let builds = app::builds(platform, &case.remote.app).await?;
    let build = builds.first().and_then(|it| it["number"].as_i64()).context("there is no build")?;
    let log = platform.api(Method::GET, &format!("/apps/{name}/builds/{build}/log.txt")).send().await?;
    let log = log.error_for_status()?.text().await?;
    let took = log.lines().find_map(|line| line.split_once("built in ")?.1.strip_suffix(" ms")?.parse().ok());
    Ok(Duration::from_millis(
        took.with_context(|| format!("the log does not say how long build {build} took:\n{log}"))?,
    ))
}

async fn buildctl(arguments: &Arguments, case: &Case, round: usize) -> Result<Duration> {
    let tree = case.remote.tree.path.to_string_lossy();
    let image = format!("{}/bench-buildctl:{}-{round}", arguments.tools.registry, case.name);
    let started = Instant::now();
    let build = tokio::process::Command::new(&arguments.tools.buildctl)
        .args(["--addr", &arguments.tools.buildkit, "build", "--progress=plain", "--frontend=dockerfile.v0"])
        .arg(format!("--local=context={tree}"))
        .arg(format!("--local=dockerfile={tree}"))
        .arg(format!("--output=type=image,name={image},push=true"))
        .output();
    let output = tokio::time::timeout(PATIENCE, build).await.context("buildctl does not end")??;
    ensure!(output.status.success(), "buildctl: {}", String::from_utf8_lossy(&output.stderr));
    Ok(started.elapsed())
}

fn report(name: &str, took: &Took) -> Value {
    let p50 = |rounds: &[Duration]| ms(percentile(rounds, 50));
    let (slipway, buildctl) = (p50(&took.slipway), p50(&took.buildctl));
    let ratio = (slipway / buildctl.max(f64::EPSILON) * 1000.0).round() / 1000.0;
    println!(
        "{name}: slipway p50 {slipway} ms (p90 {}), buildctl p50 {buildctl} ms (p90 {}), ratio {ratio}",
        ms(percentile(&took.slipway, 90)),
        ms(percentile(&took.buildctl, 90)),
    );
    json!({"p50_ms": slipway, "buildctl_p50_ms": buildctl, "ratio": ratio, "rounds": took.slipway.len()})
}

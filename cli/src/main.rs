//! `slipway`: applications, environments, builds, logs, secrets and tokens from the terminal. It talks to the HTTP API, and to the git of the
//! repository it is in.
#![allow(clippy::print_stderr, reason = "a command line tool says on standard error what it does")]

mod apps;
mod args;
mod browser;
mod builds;
mod client;
mod config;
mod envs;
mod garbage;
mod git;
mod login;
mod logs;
mod settings;
mod show;
mod sse;
mod teams;
mod tokens;

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::Parser as _;

use crate::args::{Args, Command};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    // Colours go only to a terminal that wants them.
    match run(&args, &mut anstream::stdout().lock()).await {
        Ok(code) => code,
        Err(error) if is_nobody_reading(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// `slipway logs demo | head` is no failure.
fn is_nobody_reading(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
}

async fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow!("a TLS provider is already installed"))?;
    if let Command::Login(login) = &args.command {
        login::login(login, args, out).await?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Command::Git(command) = &args.command {
        git::run(args, command, out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let server = config::connect(args)?;
    match &args.command {
        Command::Login(_) | Command::Git(_) => {}
        Command::Apps(command) => apps::run(&server, command, args.json, out).await?,
        Command::Envs(command) => envs::run(&server, command, args.json, out).await?,
        Command::Builds(command) => builds::run(&server, command, args.json, out).await?,
        Command::Garbage => garbage::run(&server, args.json, out).await?,
        Command::Teams(command) => teams::run(&server, command, args.json, out).await?,
        Command::Tokens(command) => tokens::run(&server, command, args.json, out).await?,
        Command::Secrets(command) => settings::secrets(&server, command, args.json, out).await?,
        Command::Args(command) => settings::args(&server, command, args.json, out).await?,
        Command::Logs(logs) => return logs::run(&server, logs, out).await,
        Command::Open { app } => browser::open(&server, app, out).await?,
    }
    Ok(ExitCode::SUCCESS)
}

//! `cargo xtask`: everything a developer does beyond compiling. It brings up a whole platform on one machine,
//! with Slipway running inside it, and takes it down again without a trace.
#![allow(clippy::print_stderr, reason = "a command line tool talks on its terminal")]

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};
use crate::layout::Layout;

mod args;
mod bench;
mod checkout;
mod command;
mod demo;
mod deploy;
mod down;
mod environment;
mod faults;
mod http;
mod images;
mod layout;
mod newer_git;
mod platform;
mod program;
mod progress;
mod secret;
mod soak;
mod sources;
mod status;
mod template;
mod test;
mod up;

fn main() -> ExitCode {
    match checkout::be_of_this_one().and_then(|()| run(Args::parse())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> anyhow::Result<()> {
    let layout = Layout::new(&args.place)?;
    match args.command {
        Command::Up(up) => up::run(&layout, &up),
        Command::Down { wipe } => down::run(&layout, wipe),
        Command::Status { json } => status::run(&layout, json),
        Command::Test { filters } => test::run(&layout, &filters),
        Command::Image => images::print_own(&layout),
        Command::Bench(bench) => bench::run(&layout, &bench),
        Command::Soak(soak) => soak::run(&layout, &soak),
        Command::Faults(faults) => faults::run(&layout, &faults),
    }
}

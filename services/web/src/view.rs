//! What pages and JSON show, made from rows. Pure, and one place for both, so that they tell the same story.

mod app;
mod base;
mod build;
mod critical;
mod delivery;
mod garbage;
mod line;
mod queue;
mod reason;
mod release;
mod setting;
mod status;
mod step;
pub(crate) mod text;
mod token;

pub(crate) use app::{App, Environment};
pub(crate) use base::Base;
pub(crate) use build::{Build, Placed};
pub(crate) use critical::mark as mark_critical;
pub(crate) use delivery::Delivery;
pub(crate) use garbage::Garbage;
pub(crate) use line::Line;
pub(crate) use queue::{Queue, Share};
pub(crate) use reason::Reason;
pub(crate) use release::Release;
pub(crate) use setting::{Argument, Secret};
pub(crate) use status::Status;
pub(crate) use step::{Bar, Step, bars};
pub(crate) use token::Token;

use store::Time;

fn between(from: Option<Time>, to: Option<Time>) -> Option<u64> {
    Some(to?.since_ms(from?))
}

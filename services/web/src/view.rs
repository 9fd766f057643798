//! What pages and JSON show, made from rows. Pure, and one place for both, so that they tell the same story.

mod app;
mod build;
mod delivery;
mod line;
mod reason;
mod release;
mod status;
mod step;
pub(crate) mod text;
mod token;

pub(crate) use app::{App, Environment};
pub(crate) use build::{Build, Placed};
pub(crate) use delivery::Delivery;
pub(crate) use line::Line;
pub(crate) use reason::Reason;
pub(crate) use release::Release;
pub(crate) use status::Status;
pub(crate) use step::{Bar, Step, bars};
pub(crate) use token::Token;

use store::Time;

fn between(from: Option<Time>, to: Option<Time>) -> Option<u64> {
    Some(to?.since_ms(from?))
}

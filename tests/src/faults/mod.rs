//! One fault at one moment of one build, on real parts: a builder, a BuildKit, a registry and a database of this program's
//! own. What is to come of each is data, in [`cells`].

pub mod cause;
pub mod cell;
pub mod cells;
pub mod check;
pub mod http;
pub mod moment;
pub mod parts;
pub mod run;
mod start;
pub mod table;
pub mod valve;
pub mod world;

//! What the end-to-end tests and the benches share: the running platform, its forge, and applications pushed to it.
//!
//! Everything is real: `cargo xtask test` starts the platform and names it through environment variables.

pub mod app;
pub mod bench;
pub mod client;
pub mod database;
pub mod faults;
pub mod forge;
pub mod idle_proxy;
pub mod leak;
pub mod node;
pub mod platform;
pub mod player;
pub mod receiver;
pub mod remote;
pub mod sim;
pub mod soak;
pub mod tree;
pub mod wait;
pub mod words;

//! What the end-to-end tests and the benches share: the running platform, its forge, and applications pushed to it.
//!
//! Everything is real: `cargo xtask test` starts the platform and names it through environment variables.

pub mod app;
pub mod bench;
pub mod forge;
pub mod node;
pub mod platform;
pub mod wait;

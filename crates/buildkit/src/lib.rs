//! The only BuildKit client: a session that serves a build's files and credentials, Solve, and its progress.
//!
//! [`pool::connect`] once, with [`pool::watch`] beside it; then for every build [`pool::pick`] a daemon,
//! [`session::open`] with a [`source::Source`], [`solve::solve`], and drop the session. Dropping the future of a solve
//! cancels it.

pub mod attest;
pub mod bounded;
mod corrupt;
pub mod daemon;
mod details;
mod error;
mod filesync;
mod line;
mod names;
pub mod pool;
pub mod progress;
mod secrets;
pub mod session;
pub mod solve;
pub mod source;
mod ssh;
mod tunnel;
pub mod usage;

pub use details::SourceLine;
pub use error::{SolveError, reason};
pub use names::Names;
pub use secrets::SecretValues;
pub use tonic::transport::Channel;

/// A gRPC message is at most this long on BuildKit's side.
const MESSAGE_MAX: usize = 16 << 20;

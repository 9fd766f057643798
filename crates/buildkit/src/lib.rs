//! The only BuildKit client: a session that serves a build's files and credentials, Solve, and its progress.
//!
//! [`daemon::connect`] and [`daemon::check`] once; then for every build [`session::open`] with a [`source::Source`],
//! [`solve::solve`], and drop the session. Dropping the future of a solve cancels it.

pub mod daemon;
mod details;
mod error;
mod filesync;
mod line;
pub mod progress;
pub mod session;
pub mod solve;
pub mod source;
mod tunnel;

pub use details::SourceLine;
pub use error::{SolveError, reason};
pub use tonic::transport::Channel;

/// A gRPC message is at most this long on BuildKit's side.
const MESSAGE_MAX: usize = 16 << 20;

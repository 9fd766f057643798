//! What every role needs to live in a cluster: logs, metrics, HTTP serving, problems, failed logins, shutdown.

pub mod admin;
pub mod failures;
pub mod http;
pub mod problem;
pub mod shutdown;
pub mod site;
pub mod telemetry;

pub use problem::Problem;

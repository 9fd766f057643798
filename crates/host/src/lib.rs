//! What every role needs to live in a cluster: logs, metrics, health, HTTP serving, problems, failed logins, shutdown.

pub mod admin;
pub mod failures;
pub mod health;
pub mod http;
pub mod metrics;
pub mod problem;
pub mod shutdown;
pub mod site;
pub mod telemetry;
pub mod trace;

pub use problem::Problem;

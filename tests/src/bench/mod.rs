//! Measuring a push until its new version is served, Slipway's way and the plain way, in one run.

pub mod clients;
pub mod memory;
pub mod plain;
pub mod stats;

//! Killing the receiver while users push, and counting afterwards what became of each push.

pub mod audit;
pub mod counts;
pub mod faults;
pub mod keeper;
pub mod leftover;
pub mod process;
pub mod pusher;
pub mod schedule;
pub mod told;
pub mod volume;

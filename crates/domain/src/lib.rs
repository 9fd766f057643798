//! The vocabulary of Slipway: names, states, verdicts and reasons. No I/O, no clock, no randomness.
//!
//! A delivery gets a [`verdict::Verdict`]; a branch that moved becomes a push and a build in a [`state::BuildState`];
//! a build that succeeded becomes a release in a [`state::ReleaseState`]; whatever fails names one [`reason::Reason`].

pub mod cache;
pub mod commit;
pub mod forge_kind;
pub mod garbage;
pub mod job;
pub mod name;
pub mod push_options;
pub mod reason;
pub mod scope;
pub mod setting;
pub mod state;
pub mod verdict;
pub mod word;

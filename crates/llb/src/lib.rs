//! BuildKit's low-level build graphs (LLB): made here, byte-stable, from nothing but their inputs.
//!
//! A [`graph::Graph`] becomes a [`Definition`]; [`dockerfile_inputs`] gives those that a Dockerfile build needs.

mod dockerfile;
pub mod graph;

pub use bollard_buildkit_proto::pb::Definition;
pub use dockerfile::{Inputs, Piece, dockerfile_inputs};

//! What is in an image: reads its layers and writes an SPDX document of the packages that say of themselves that they are
//! there. No I/O of its own.
//!
//! [`apply`] takes one layer after the other, the lowest first; what it finds is kept by path, so that files which a
//! later layer removes or writes anew are no longer found. [`document`] makes the document of the result.
//!
//! The files come from other people: everything that is read of them has a limit, and what is left out because of one is
//! said in the document.

mod control;
mod found;
mod golang;
mod layer;
mod node;
mod npm;
mod os;
mod package;
mod place;
mod python;
mod spdx;

pub use found::Found;
pub use layer::apply;
pub use spdx::{Document, Subject, document};

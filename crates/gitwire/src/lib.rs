//! What git's push protocol looks like on the wire: packets, requests, reports and side bands. No I/O.
//!
//! A client asks with a [`request::Request`] that [`request::Reader`] reads from a stream; it is answered with
//! packets of [`sideband`] and, last, a [`report`]. What the client was shown before is an [`advertisement`].

pub mod advertisement;
pub mod pkt_line;
pub mod refname;
pub mod report;
pub mod request;
pub mod sideband;

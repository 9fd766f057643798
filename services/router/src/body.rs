//! The one body type of requests and responses: passed on as it comes, or made here.

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::{Bytes, Incoming};

pub(crate) type Body = UnsyncBoxBody<Bytes, hyper::Error>;

pub(crate) fn pass_on(body: Incoming) -> Body {
    body.boxed_unsync()
}

pub(crate) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

pub(crate) fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}

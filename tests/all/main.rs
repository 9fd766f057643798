//! The one integration-test binary: the repository's own rules, and the platform end to end.

mod deliveries;
mod failures;
mod faults;
mod push_to_url;
mod rights;
mod router;
mod tidy;

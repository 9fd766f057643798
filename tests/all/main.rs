//! The one integration-test binary: the repository's own rules, and the platform end to end.

mod cancel;
mod deliveries;
mod environments;
mod failures;
mod faults;
mod garbage;
mod git_attach;
mod git_clients;
mod git_environments;
mod git_faults;
mod git_hostile;
mod git_load;
mod git_protocol;
mod git_proxy;
mod git_push;
mod git_rights;
mod provenance;
mod push_to_url;
mod queue;
mod rebuild;
mod reuse;
mod rights;
mod router;
mod secrets;
mod simulation;
mod tidy;

//! Asking a registry about images by digest before anyone relies on them, and what is attested of them; reading their
//! layers; attaching documents to them; removing those that nobody needs; and the credentials for it.

mod attach;
mod credentials;
mod error;
mod image;
mod layers;
mod patience;
mod provenance;
mod read;
mod remove;

pub use attach::{Attachment, attach, detach};
pub use credentials::Credentials;
pub use error::{RegistryError, reason};
pub use image::{Image, Registry, connect, exists, inspect};
pub use layers::Layer;
pub use patience::asks_to_wait;
pub use provenance::{Base, Provenance};
pub use read::{layers, read};
pub use remove::{Removal, remove};

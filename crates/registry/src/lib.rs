//! Asking a registry about images by digest before anyone relies on them, and the credentials for it.

mod credentials;
mod error;
mod image;

pub use credentials::Credentials;
pub use error::{RegistryError, reason};
pub use image::{Image, Registry, connect, exists, inspect};

//! The Kubernetes objects of environments and releases, and the verdict on a roll-out that is watched.
//! Pure: objects are JSON values, and what the cluster shows comes in as plain data together with the time.

pub mod environment;
pub mod judge;
pub mod label;
pub mod release;

/// A Kubernetes object as it is sent to the API server.
pub type Object = serde_json::Value;

/// Which environment the objects are for.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub app: &'a str,
    pub env: &'a str,
    pub namespace: &'a str,
}

//! What several roles have to know alike of this installation.

use url::Url;

/// Where users reach Slipway and what runs on it.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Site {
    /// The public URL of the pages
    #[arg(long, env = "SLIPWAY_BASE_URL", global = true, default_value = "http://slipway.localhost:8080")]
    pub base_url: Url,
    /// The domain that environments are under, with a port if there is one
    #[arg(long, env = "SLIPWAY_BASE_DOMAIN", global = true, default_value = "slipway.localhost:8080")]
    pub base_domain: String,
}

/// Who holds this process's leases: its role and its host's name, which in a cluster is the pod's.
pub fn owner(role: &str) -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{role}@{}", name.trim())
}

//! Where everything lies: the repository, the cache of compiled parts, and the data of the running platform.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::args::PlaceArgs;

/// Paths of this checkout, its cache and its data. Everything else asks here.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub repo: PathBuf,
    pub cache: PathBuf,
    pub data: PathBuf,
}

impl Layout {
    pub(crate) fn new(place: &PlaceArgs) -> anyhow::Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let repo = manifest.parent().expect("xtask lies in the repository").to_owned();
        let cache = match (&place.cache, &place.xdg_cache_home) {
            (Some(cache), _) => cache.clone(),
            (None, Some(root)) => root.join("slipway"),
            (None, None) => std::env::home_dir()
                .context("no home directory to keep the cache in: give one with --cache")?
                .join(".cache/slipway"),
        };
        Ok(Self { repo, cache: std::path::absolute(cache)?, data: std::path::absolute(&place.data)? })
    }

    /// A program of the platform.
    pub(crate) fn bin(&self, name: &str) -> PathBuf {
        self.data.join("bin").join(name)
    }

    /// A configuration file of the platform.
    pub(crate) fn config(&self, name: &str) -> PathBuf {
        self.data.join("config").join(name)
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.data.join("logs").join(format!("{name}.log"))
    }

    pub(crate) fn pki(&self) -> PathBuf {
        self.data.join("pki")
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.pki().join("admin.kubeconfig")
    }

    /// The token that logs the administrator in.
    pub(crate) fn admin_token(&self) -> PathBuf {
        self.data.join("admin-token")
    }

    pub(crate) fn secret(&self, name: &str) -> PathBuf {
        self.data.join("secrets").join(name)
    }

    /// Compiled parts of the platform, one folder for each part and version.
    pub(crate) fn parts(&self) -> PathBuf {
        self.cache.join("platform")
    }

    /// The copy of the sources that xtask compiles.
    pub(crate) fn sources(&self) -> PathBuf {
        self.cache.join("sources")
    }

    /// Cargo's target folder for them.
    pub(crate) fn target(&self) -> PathBuf {
        self.cache.join("target")
    }

    /// The log of a compile: it lies with the cache, since it may run before there is any data.
    pub(crate) fn compile_log(&self, name: &str) -> PathBuf {
        self.cache.join("logs").join(format!("{name}.log"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(cache: Option<&str>, xdg: Option<&str>) -> PlaceArgs {
        PlaceArgs { data: "/d".into(), cache: cache.map(Into::into), xdg_cache_home: xdg.map(Into::into) }
    }

    #[test]
    fn the_cache_given_by_hand_wins() {
        let layout = Layout::new(&place(Some("/c"), Some("/x"))).unwrap();
        assert_eq!(layout.cache, Path::new("/c"));
        let layout = Layout::new(&place(None, Some("/x"))).unwrap();
        assert_eq!(layout.cache, Path::new("/x/slipway"));
    }
}

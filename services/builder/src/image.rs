//! Where images go, and the look from our side at what BuildKit says it pushed.

use std::path::Path;

use anyhow::Result;
use buildkit::session::Logins;
use domain::reason::Reason;
use registry::{Credentials, Registry};

/// A pushed image that the registry was seen to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) repository: String,
    pub(crate) digest: String,
    pub(crate) size_bytes: i64,
}

impl Image {
    /// The name that is deployed: by digest, so that it is these very bytes.
    pub(crate) fn reference(&self) -> String {
        format!("{}@{}", self.repository, self.digest)
    }
}

/// The registry that all images go to.
#[derive(Debug)]
pub(crate) struct Images {
    prefix: String,
    credentials: Credentials,
    registry: Registry,
}

impl Images {
    /// `prefix` is `HOST[:PORT][/PATH]`.
    pub(crate) fn new(prefix: &str, config: Option<&Path>, insecure: bool) -> Result<Images> {
        let prefix = prefix.trim_end_matches('/');
        let host = prefix.split('/').next().unwrap_or_default();
        anyhow::ensure!(
            !host.is_empty() && !prefix.contains("://"),
            "SLIPWAY_REGISTRY is HOST[:PORT][/PATH], not {prefix:?}"
        );
        let credentials = Credentials::load(config)?;
        let insecure_hosts = if insecure { vec![host.to_owned()] } else { vec![] };
        let registry = registry::connect(credentials.clone(), insecure_hosts)?;
        Ok(Images { prefix: prefix.to_owned(), credentials, registry })
    }

    pub(crate) fn repository(&self, app: &str) -> String {
        format!("{}/{app}", self.prefix)
    }

    pub(crate) fn logins(&self) -> Logins {
        self.credentials.logins().clone()
    }

    /// Asks the registry for the image by its digest.
    pub(crate) async fn confirm(&self, repository: String, digest: String) -> Result<Image, Reason> {
        let reference = format!("{repository}@{digest}");
        let found =
            registry::inspect(&self.registry, &reference).await.map_err(|error| registry::reason(&error))?;
        let size_bytes = i64::try_from(found.size_bytes).unwrap_or(i64::MAX);
        Ok(Image { repository, digest, size_bytes })
    }
}

//! Where images go, and the look from our side at what BuildKit says it pushed.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use buildkit::session::Logins;
use domain::reason::Reason;
use registry::{Credentials, Layer, Provenance, Registry};
use store::layers::Layer as Written;
use uuid::Uuid;

/// A pushed image that the registry was seen to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) repository: String,
    pub(crate) digest: String,
    pub(crate) size_bytes: i64,
    pub(crate) origin: Origin,
    pub(crate) layers: Vec<Layer>,
    /// The lowest one that it exposes.
    pub(crate) port: Option<u16>,
    /// What is attested of it, and the digest of the index that this hangs on.
    pub(crate) attested: Option<(String, Provenance)>,
}

/// How an image came to be the build's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It was built from this input, if that is known.
    Built(Option<Vec<u8>>),
    /// Another build made it.
    Reused(Uuid),
}

impl Image {
    pub(crate) fn of_input(self, input: Vec<u8>) -> Image {
        Image { origin: Origin::Built(Some(input)), ..self }
    }

    pub(crate) fn reusing(self, build: Uuid) -> Image {
        Image { origin: Origin::Reused(build), ..self }
    }

    /// The name that is deployed: by digest, so that it is these very bytes.
    pub(crate) fn reference(&self) -> String {
        format!("{}@{}", self.repository, self.digest)
    }

    /// Its layers as they are written down.
    pub(crate) fn written_layers(&self) -> Vec<Written<'_>> {
        let size = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.layers.iter().map(|it| Written { digest: &it.digest, size: size(it.size_bytes) }).collect()
    }
}

/// The registry that all images go to.
#[derive(Debug)]
pub(crate) struct Images {
    prefix: String,
    host: String,
    insecure: bool,
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
        Ok(Images { prefix: prefix.to_owned(), host: host.to_owned(), insecure, credentials, registry })
    }

    pub(crate) fn repository(&self, app: &str) -> String {
        format!("{}/{app}", self.prefix)
    }

    pub(crate) fn logins(&self) -> Logins {
        self.credentials.logins().clone()
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Whether the registry has the image still; one that does not say counts as one that has not.
    pub(crate) async fn has(&self, image: &Image) -> bool {
        registry::exists(&self.registry, &image.reference()).await.unwrap_or(false)
    }

    /// How long the registry wants to be left alone, when it says so.
    pub(crate) async fn asks_to_wait(&self, http: &reqwest::Client) -> Option<Duration> {
        registry::asks_to_wait(http, &self.host, self.insecure).await
    }

    /// Asks the registry for the image by the digest that was pushed, of the image itself or of an index over it.
    pub(crate) async fn confirm(&self, repository: String, pushed: &str) -> Result<Image, Reason> {
        let reference = format!("{repository}@{pushed}");
        let found =
            registry::inspect(&self.registry, &reference).await.map_err(|error| registry::reason(&error))?;
        let size_bytes = i64::try_from(found.size_bytes).unwrap_or(i64::MAX);
        let attested = found.index_digest.zip(found.provenance);
        Ok(Image {
            repository,
            digest: found.digest,
            size_bytes,
            origin: Origin::Built(None),
            layers: found.layers,
            port: found.port,
            attested,
        })
    }
}

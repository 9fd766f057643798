//! What a session serves: nothing but what the build that uses it just now may ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use secrecy::SecretString;
use tonic::Status;

use crate::secrets::SecretValues;
use crate::source::Source;

/// As many sentences about what a build lacks are kept.
const LACKING_MAX: usize = 16;

/// User and secret by registry host, as BuildKit names it.
pub type Logins = BTreeMap<String, (String, SecretString)>;

/// What a build may ask us for.
pub struct Services {
    /// By the name that its graph calls them by.
    pub sources: BTreeMap<String, Arc<dyn Source>>,
    pub logins: Logins,
    pub secrets: SecretValues,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services")
            .field("sources", &self.sources.keys())
            .field("hosts", &self.logins.keys())
            .field("secrets", &self.secrets.keys())
            .finish()
    }
}

/// What the build that uses a session just now may ask for; nothing between two builds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Serving {
    services: Arc<RwLock<Option<Arc<Services>>>>,
    lacking: Arc<Mutex<BTreeSet<String>>>,
}

impl Serving {
    pub(crate) fn get(&self) -> Result<Arc<Services>, Status> {
        let services = self.services.read().unwrap_or_else(PoisonError::into_inner).clone();
        services.ok_or_else(|| Status::failed_precondition("no build uses this session now"))
    }

    /// The build asked for something that it does not have.
    pub(crate) fn lacks(&self, why: &str) {
        let mut lacking = self.lacking.lock().unwrap_or_else(PoisonError::into_inner);
        if lacking.len() < LACKING_MAX {
            lacking.insert(why.to_owned());
        }
    }

    pub(crate) fn lacking(&self) -> Vec<String> {
        self.lacking.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    #[cfg(test)]
    pub(crate) fn of(services: Services) -> Serving {
        let serving = Serving::default();
        serving.set(Some(services));
        serving
    }

    pub(super) fn set(&self, services: Option<Services>) {
        self.lacking.lock().unwrap_or_else(PoisonError::into_inner).clear();
        *self.services.write().unwrap_or_else(PoisonError::into_inner) = services.map(Arc::new);
    }
}

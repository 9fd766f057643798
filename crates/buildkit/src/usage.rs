//! How much a daemon keeps.

use std::time::Duration;

use bollard_buildkit_proto::moby::buildkit::v1 as proto;
use tonic::Request;

use crate::{Channel, SolveError, daemon};

/// A daemon that was just started measures what it has first.
const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub records: i64,
    pub bytes: i64,
}

/// Layers that two records share are counted once: a record's size is what it adds to those below it.
pub async fn of(channel: &Channel) -> Result<Usage, SolveError> {
    let mut request = Request::new(proto::DiskUsageRequest::default());
    request.set_timeout(TIMEOUT);
    let records = daemon::control(channel).disk_usage(request).await?.into_inner().record;
    let bytes = records.iter().map(|it| it.size.max(0)).sum();
    Ok(Usage { records: i64::try_from(records.len()).unwrap_or(i64::MAX), bytes })
}

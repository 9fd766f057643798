//! The last lines a failing container wrote.

use std::time::Duration;

use domain::reason::{LINES_MAX, Reason};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, LogParams};
use manifest::judge::{Failure, LogSource};
use manifest::label::WEB;

/// A failure that is told a little later, with its lines, is better than one without.
const PATIENCE: Duration = Duration::from_secs(10);
const BYTES_MAX: i64 = 256 * 1024;
const LINE_MAX: usize = 2000;

/// The failure's reason with its proof; without it when the log cannot be had.
pub(crate) async fn attach(client: &Client, namespace: &str, failure: Failure) -> Reason {
    let lines = match &failure.log {
        Some(source) => {
            tokio::time::timeout(PATIENCE, fetch(client, namespace, source)).await.unwrap_or_default()
        }
        None => Vec::new(),
    };
    failure.into_reason(lines)
}

/// A container may have been started again since it was judged: then the log is that of its last run.
async fn fetch(client: &Client, namespace: &str, source: &LogSource) -> Vec<String> {
    let lines = tail(client, namespace, source, source.previous).await;
    if lines.is_empty() { tail(client, namespace, source, !source.previous).await } else { lines }
}

async fn tail(client: &Client, namespace: &str, source: &LogSource, previous: bool) -> Vec<String> {
    let params = LogParams {
        container: Some(WEB.to_owned()),
        previous,
        tail_lines: i64::try_from(LINES_MAX).ok(),
        limit_bytes: Some(BYTES_MAX),
        ..LogParams::default()
    };
    match Api::<Pod>::namespaced(client.clone(), namespace).logs(&source.pod, &params).await {
        Ok(log) => clean(&log),
        Err(error) => {
            tracing::debug!(pod = source.pod, previous, "reading a container's log: {error}");
            Vec::new()
        }
    }
}

/// PostgreSQL keeps no NUL in JSON, and a page no endless line.
fn clean(log: &str) -> Vec<String> {
    log.lines().map(|line| line.chars().filter(|c| *c != '\0').take(LINE_MAX).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_fit_to_be_stored() {
        assert_eq!(clean("a\0b\nc"), ["ab", "c"]);
        assert_eq!(clean(&"x".repeat(LINE_MAX + 1))[0].len(), LINE_MAX);
        assert_eq!(clean(""), Vec::<String>::new());
    }
}

//! Numbers for Prometheus. Who counts something registers it here, once, when it starts; nothing is global.

pub mod builds;
pub mod sboms;

use std::fmt;
use std::sync::{Arc, Mutex};

use anyhow::{Result, anyhow};
use futures::future::{BoxFuture, FutureExt as _, join_all};
use prometheus_client::registry::{Metric, Registry};

type Refresh = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// All numbers of one process. Clones are the same one.
#[derive(Clone, Default)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    refreshes: Arc<Mutex<Vec<Refresh>>>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("registry", &self.registry).finish_non_exhaustive()
    }
}

impl Metrics {
    /// `name` without `slipway_`, and without the `_total` of a counter.
    pub fn register(&self, name: &str, help: &str, metric: impl Metric) {
        let mut registry = self.registry.lock().expect("nobody panics while holding the metrics");
        registry.register(format!("slipway_{name}"), help, metric);
    }

    /// Runs before each answer to Prometheus: for what is true at that moment and counted by nobody.
    pub fn before_each_answer<F>(&self, refresh: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let refresh: Refresh = Arc::new(move || refresh().boxed());
        self.refreshes.lock().expect("nobody panics while holding the metrics").push(refresh);
    }

    /// As `OpenMetrics` text.
    pub async fn text(&self) -> Result<String> {
        let refreshes = self.refreshes.lock().map_err(|_| anyhow!("the metrics' lock is poisoned"))?.clone();
        join_all(refreshes.iter().map(|refresh| refresh())).await;
        let registry = self.registry.lock().map_err(|_| anyhow!("the metrics' lock is poisoned"))?;
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;

    use prometheus_client::metrics::gauge::Gauge;

    use super::*;

    #[tokio::test]
    async fn what_is_refreshed_is_true_at_the_answer() {
        let metrics = Metrics::default();
        let depth = Gauge::<i64, AtomicI64>::default();
        metrics.register("depth", "How deep it is", depth.clone());
        metrics.before_each_answer(move || {
            depth.inc();
            std::future::ready(())
        });
        assert!(metrics.text().await.unwrap().contains("\nslipway_depth 1\n"));
        assert!(metrics.text().await.unwrap().contains("\nslipway_depth 2\n"));
    }
}

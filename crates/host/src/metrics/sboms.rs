//! What a builder counts of the documents about what is in images.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

use super::Metrics;

/// From an image of which all but the last layer is known to a large one that nobody has read.
const SECONDS: [f64; 9] = [0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 120.0, 600.0];

/// Clones count into the same numbers.
#[derive(Clone, Debug)]
pub struct Sboms {
    took: Histogram,
    layers: Counter,
    failed: Counter,
}

impl Sboms {
    pub fn new(metrics: &Metrics) -> Sboms {
        let sboms =
            Sboms { took: Histogram::new(SECONDS), layers: Counter::default(), failed: Counter::default() };
        let all = sboms.clone();
        metrics.register("sbom_seconds", "Making the SBOM of an image", all.took);
        metrics.register("sbom_layers", "Layers that were read for SBOMs", all.layers);
        metrics.register("sbom_failures", "Attempts at an SBOM that ended without one", all.failed);
        sboms
    }

    pub fn made(&self, took: Duration) {
        self.took.observe(took.as_secs_f64());
    }

    pub fn read_layer(&self) {
        self.layers.inc();
    }

    pub fn failed(&self) {
        self.failed.inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn documents_in_numbers() {
        let metrics = Metrics::default();
        let sboms = Sboms::new(&metrics);
        sboms.made(Duration::from_millis(700));
        sboms.read_layer();
        sboms.read_layer();
        sboms.failed();
        let text = metrics.text().await.unwrap();
        for line in
            ["slipway_sbom_seconds_sum 0.7", "slipway_sbom_layers_total 2", "slipway_sbom_failures_total 1"]
        {
            assert!(text.lines().any(|it| it == line), "{line:?} is not in {text}");
        }
    }
}

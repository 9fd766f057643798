//! What a builder counts: how long builds waited and took, phase by phase, what came from the cache, and how they ended.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::Metrics;

/// From a re-used image to the deadline of a build.
const SECONDS: [f64; 16] =
    [0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InPhase {
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    state: String,
    /// The code of the reason, or nothing.
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Because {
    cause: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Cached {
    cached: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Exported {
    outcome: &'static str,
}

/// What became of an export of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Export {
    Done,
    Failed,
    /// A build was in its way, or it in a build's.
    GivenUp,
}

impl Export {
    const fn as_str(self) -> &'static str {
        match self {
            Export::Done => "done",
            Export::Failed => "failed",
            Export::GivenUp => "given up",
        }
    }
}

/// A part of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The commit comes into the mirror.
    Fetch,
    /// The tree becomes a plan.
    Plan,
    /// BuildKit builds and pushes.
    Solve,
    /// The registry is asked for the image.
    Confirm,
}

impl Phase {
    const fn as_str(self) -> &'static str {
        match self {
            Phase::Fetch => "fetch",
            Phase::Plan => "plan",
            Phase::Solve => "solve",
            Phase::Confirm => "confirm",
        }
    }
}

/// Clones count into the same numbers.
#[derive(Clone, Debug)]
pub struct Builds {
    waited: Histogram,
    took: Family<Ended, Histogram>,
    phases: Family<InPhase, Histogram>,
    steps: Family<Cached, Counter>,
    retries: Family<Because, Counter>,
    active: Gauge,
    reused: Counter,
    imports: Counter,
    exports: Family<Exported, Counter>,
    source_bytes: Counter<u64, AtomicU64>,
    image_bytes: Counter<u64, AtomicU64>,
    log_bytes: Counter<u64, AtomicU64>,
}

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

impl Builds {
    pub fn new(metrics: &Metrics) -> Builds {
        let builds = Builds {
            waited: seconds(),
            took: Family::new_with_constructor(seconds),
            phases: Family::new_with_constructor(seconds),
            steps: Family::default(),
            retries: Family::default(),
            active: Gauge::default(),
            reused: Counter::default(),
            imports: Counter::default(),
            exports: Family::default(),
            source_bytes: Counter::default(),
            image_bytes: Counter::default(),
            log_bytes: Counter::default(),
        };
        let all = builds.clone();
        metrics.register("build_queue_seconds", "From a push to the start of its build", all.waited);
        metrics.register("build_seconds", "From a build's start to its end, by how it ended", all.took);
        metrics.register("build_phase_seconds", "Parts of an attempt", all.phases);
        metrics.register("build_steps", "Steps of Dockerfiles, done or taken from the cache", all.steps);
        metrics.register("build_retries", "Attempts that a fault of the platform ended", all.retries);
        metrics.register("builds_active", "Builds that this builder works on", all.active);
        metrics.register("builds_reused", "Builds whose image was there already", all.reused);
        metrics.register("build_cache_imports", "Builds with a cache from the registry", all.imports);
        metrics.register("build_cache_exports", "Exports of caches to the registry", all.exports);
        metrics.register("build_source_bytes", "Source that BuildKit asked for", all.source_bytes);
        metrics.register("build_image_bytes", "Sizes of the images that were built", all.image_bytes);
        metrics.register("build_log_bytes", "Log that builds wrote", all.log_bytes);
        builds
    }

    /// A build is worked on as long as the answer lives.
    pub fn active(&self) -> Active {
        self.active.inc();
        Active(self.active.clone())
    }

    /// Whether no build is worked on.
    pub fn is_idle(&self) -> bool {
        self.active.get() == 0
    }

    pub fn phase(&self, phase: Phase, took: Duration) {
        self.phases.get_or_create(&InPhase { phase: phase.as_str() }).observe(took.as_secs_f64());
    }

    /// An attempt ended by a fault of the platform, and another one follows. `cause`: the code of the reason.
    pub fn retried(&self, cause: &str) {
        self.retries.get_or_create(&Because { cause: cause.to_owned() }).inc();
    }

    /// A build has ended, after its last attempt. One that never began has no times.
    pub fn ended(&self, state: &str, reason: &str, waited: Option<Duration>, took: Option<Duration>) {
        if let Some(waited) = waited {
            self.waited.observe(waited.as_secs_f64());
        }
        let ended = Ended { state: state.to_owned(), reason: reason.to_owned() };
        self.took.get_or_create(&ended).observe(took.unwrap_or_default().as_secs_f64());
    }

    pub fn steps(&self, all: u64, cached: u64) {
        self.steps.get_or_create(&Cached { cached: "true" }).inc_by(cached);
        self.steps.get_or_create(&Cached { cached: "false" }).inc_by(all.saturating_sub(cached));
    }

    pub fn made(&self, image_bytes: u64) {
        self.image_bytes.inc_by(image_bytes);
    }

    /// The image of an earlier build of the same input was used again.
    pub fn reused(&self) {
        self.reused.inc();
    }

    /// A build was given the cache of the default branch.
    pub fn cache_imported(&self) {
        self.imports.inc();
    }

    pub fn cache_export(&self, outcome: Export) {
        self.exports.get_or_create(&Exported { outcome: outcome.as_str() }).inc();
    }

    pub fn sent(&self, source_bytes: u64) {
        self.source_bytes.inc_by(source_bytes);
    }

    pub fn logged(&self, log_bytes: u64) {
        self.log_bytes.inc_by(log_bytes);
    }
}

#[derive(Debug)]
pub struct Active(Gauge);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_build_in_numbers() {
        let metrics = Metrics::default();
        let builds = Builds::new(&metrics);
        let active = builds.active();
        builds.phase(Phase::Fetch, Duration::from_millis(40));
        builds.retried("buildkit_unavailable");
        builds.ended("failed", "step_failed", Some(Duration::from_secs(3)), Some(Duration::from_secs(20)));
        builds.steps(7, 4);
        builds.made(1000);
        builds.sent(20);
        builds.logged(300);
        builds.reused();
        builds.cache_imported();
        builds.cache_export(Export::GivenUp);
        let text = metrics.text().await.unwrap();
        for line in [
            "slipway_build_queue_seconds_sum 3.0",
            "slipway_build_seconds_sum{state=\"failed\",reason=\"step_failed\"} 20.0",
            "slipway_build_phase_seconds_bucket{le=\"0.05\",phase=\"fetch\"} 1",
            "slipway_build_phase_seconds_bucket{le=\"0.025\",phase=\"fetch\"} 0",
            "slipway_build_steps_total{cached=\"true\"} 4",
            "slipway_build_steps_total{cached=\"false\"} 3",
            "slipway_build_retries_total{cause=\"buildkit_unavailable\"} 1",
            "slipway_builds_active 1",
            "slipway_builds_reused_total 1",
            "slipway_build_cache_imports_total 1",
            "slipway_build_cache_exports_total{outcome=\"given up\"} 1",
            "slipway_build_image_bytes_total 1000",
            "slipway_build_source_bytes_total 20",
            "slipway_build_log_bytes_total 300",
        ] {
            assert!(text.lines().any(|it| it == line), "{line:?} is not in {text}");
        }
        assert!(!builds.is_idle());
        drop(active);
        assert!(builds.is_idle());
        assert!(metrics.text().await.unwrap().contains("\nslipway_builds_active 0\n"));
    }
}

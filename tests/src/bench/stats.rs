//! What a run of rounds came to.

use std::time::Duration;

use serde_json::{Value, json};

/// One way's rounds and the requests its clients lost.
#[derive(Debug, Default)]
pub struct Way {
    pub rounds: Vec<Duration>,
    pub failed_kept: u64,
    pub failed_fresh: u64,
    pub asked: u64,
}

impl Way {
    pub fn failed(&self) -> u64 {
        self.failed_kept + self.failed_fresh
    }

    /// [`percentile`] of the rounds, in milliseconds.
    pub fn percentile_ms(&self, percent: usize) -> u64 {
        u64::try_from(percentile(&self.rounds, percent).as_millis()).unwrap_or(u64::MAX)
    }

    pub fn to_json(&self) -> Value {
        json!({"p50_ms": self.percentile_ms(50), "p90_ms": self.percentile_ms(90), "failed": self.failed()})
    }
}

/// The value below which `percent` of the rounds lie (nearest rank); nothing of no rounds.
pub fn percentile(rounds: &[Duration], percent: usize) -> Duration {
    let mut sorted = rounds.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// Milliseconds with two digits after the point.
pub fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 100_000.0).round() / 100.0
}

/// Slipway's p50 as a part of the plain way's.
pub fn ratio_p50(plain: &Way, slipway: &Way) -> f64 {
    let ratio = slipway.percentile_ms(50) as f64 / plain.percentile_ms(50).max(1) as f64;
    (ratio * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_rank() {
        let rounds = (1..=10).map(|n| Duration::from_millis(n * 10)).collect();
        let way = Way { rounds, ..Way::default() };
        assert_eq!((way.percentile_ms(50), way.percentile_ms(90)), (50, 90));
        assert_eq!(Way::default().percentile_ms(50), 0);
    }
}

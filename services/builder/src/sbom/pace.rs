//! Builds go first, and what follows from them: as long as patience lasts nothing is read meanwhile, and little after that.

use std::time::{Duration, Instant};

use host::metrics::builds::Builds;

/// After a build of this builder, so that its release is live and what follows is no part of anybody's push.
pub(super) const SETTLE: Duration = Duration::from_secs(5);
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Without patience, and beside a build, so much work
const SLICE: Duration = Duration::from_millis(10);
/// is followed by so many times as much rest.
const RESTS: u32 = 3;

/// How one image is read.
pub(super) struct Pace<'a> {
    builds: &'a Builds,
    patience: Duration,
    waited: Duration,
    /// When a build was last seen to run.
    busy_at: Option<Instant>,
    working_since: Instant,
}

impl Pace<'_> {
    pub(super) fn new(builds: &Builds, patience: Duration) -> Pace<'_> {
        Pace { builds, patience, waited: Duration::ZERO, busy_at: None, working_since: Instant::now() }
    }

    /// In all, for builds.
    pub(super) fn waited(&self) -> Duration {
        self.waited
    }

    /// Call it between two pieces of work.
    pub(super) async fn give_way(&mut self) {
        while let Some(wait) = self.wait(Instant::now()) {
            tokio::time::sleep(wait).await;
        }
    }

    /// After how long to look again; `None`: go on.
    fn wait(&mut self, now: Instant) -> Option<Duration> {
        if !self.builds.is_idle() {
            self.busy_at = Some(now);
        }
        let worked = now.saturating_duration_since(self.working_since);
        let wait = if self.busy_at.is_none_or(|at| at + SETTLE <= now) {
            Duration::ZERO
        } else if !self.patience.is_zero() {
            self.patience = self.patience.saturating_sub(LOOK_EVERY);
            LOOK_EVERY
        } else if worked < SLICE {
            return None;
        } else {
            // What took longer was waiting for the registry.
            worked.min(LOOK_EVERY) * RESTS
        };
        self.waited += wait;
        self.working_since = now + wait;
        (!wait.is_zero()).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use host::metrics::Metrics;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Waits until it may go on, or until this time; answers when that was.
    fn waited(pace: &mut Pace<'_>, mut now: Instant, until: Instant) -> Instant {
        while now < until {
            let Some(wait) = pace.wait(now) else { break };
            now += wait;
        }
        now
    }

    #[test]
    fn it_waits_for_builds_and_for_what_follows_from_them() {
        let (builds, start) = (Builds::new(&Metrics::default()), Instant::now());
        let mut pace = Pace::new(&builds, MINUTE);
        assert_eq!(pace.wait(start), None);
        let active = builds.active();
        let ended = waited(&mut pace, start, start + 20 * LOOK_EVERY);
        assert_eq!(ended, start + 20 * LOOK_EVERY);
        drop(active);
        let settled = waited(&mut pace, ended, ended + MINUTE) - ended;
        assert!(settled + LOOK_EVERY >= SETTLE && settled <= SETTLE, "{settled:?}");
        assert_eq!(pace.waited(), 20 * LOOK_EVERY + settled);
    }

    #[test]
    fn where_builds_never_end_it_works_a_quarter_of_the_time() {
        let (builds, start) = (Builds::new(&Metrics::default()), Instant::now());
        let mut pace = Pace::new(&builds, MINUTE);
        let _active = builds.active();
        let began = waited(&mut pace, start, start + 2 * MINUTE);
        assert_eq!(began - start, MINUTE);
        let (mut now, worked) = (began, Duration::from_millis(1));
        for _ in 0..1000 {
            now = waited(&mut pace, now + worked, now + MINUTE);
        }
        assert_eq!(now - began, 1000 * worked * (1 + RESTS));
        let stalled = now + Duration::from_secs(10);
        assert_eq!(pace.wait(stalled), Some(LOOK_EVERY * RESTS));
    }
}

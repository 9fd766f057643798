//! The place of a build in the queue, told when it changes, but not oftener than anybody reads.

use jiff::{SignedDuration, Timestamp};
use store::queue::standing::Standing;

use super::{detail, phase, problem, words};

/// A long queue may move faster than anybody reads.
const LINES_APART: SignedDuration = SignedDuration::from_secs(2);
const ERROR_MAX: usize = 200;

#[derive(Debug)]
pub(super) struct Place {
    app: String,
    standing: Standing,
    since: Timestamp,
    told_at: Timestamp,
    is_told: bool,
}

impl Place {
    /// Who is next is mostly taken before anybody reads of it: that waits for a [`Place::tick`].
    pub(super) fn new(
        app: &str,
        standing: Standing,
        since: Timestamp,
        now: Timestamp,
    ) -> (Place, Vec<String>) {
        let mut place = Place { app: app.to_owned(), standing, since, told_at: now, is_told: false };
        let lines = if place.is_next() { Vec::new() } else { place.told(now) };
        (place, lines)
    }

    pub(super) fn moves(&mut self, standing: Standing, now: Timestamp) -> Vec<String> {
        self.standing = standing;
        self.is_told = false;
        if self.is_next() { Vec::new() } else { self.tick(now) }
    }

    pub(super) fn tick(&mut self, now: Timestamp) -> Vec<String> {
        let is_due = !self.is_told && now.duration_since(self.told_at) >= LINES_APART;
        if is_due { self.told(now) } else { Vec::new() }
    }

    pub(super) fn attempt(&self) -> i32 {
        self.standing.attempt
    }

    fn is_next(&self) -> bool {
        self.standing.position == 1 && self.standing.held_by.is_none()
    }

    fn told(&mut self, now: Timestamp) -> Vec<String> {
        (self.told_at, self.is_told) = (now, true);
        let Standing { position, waiting, running, ahead, held_by, .. } = &self.standing;
        let mut lines = Vec::new();
        if *position > 1 {
            let named: Vec<String> = ahead.iter().map(|it| format!("{} #{}", it.app, it.number)).collect();
            let more = position - 1 - i64::try_from(named.len()).unwrap_or_default();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let named = named.join(", ");
            lines.push(phase(format!("Queued: number {position} of {waiting}, behind {named}{more}")));
        } else {
            let runs =
                if *running == 1 { "1 build runs".to_owned() } else { format!("{running} builds run") };
            lines.push(phase(format!("Queued: next ({runs})")));
        }
        if let Some(number) = held_by {
            let app = &self.app;
            let why =
                format!("waits for build #{number} of {app}: builds of one application run one at a time");
            lines.push(detail(why));
        }
        lines
    }

    pub(super) fn still(&self, now: Timestamp) -> String {
        let age = words::age(self.since, now);
        match (self.standing.held_by, self.standing.position) {
            (Some(number), _) => format!("still waiting for build #{number} of {} ({age})", self.app),
            (None, 1) => format!("still waiting for a builder ({age})"),
            (None, position) => {
                format!("still queued: number {position} of {} ({age})", self.standing.waiting)
            }
        }
    }
}

/// An attempt was lost to a fault of the platform.
pub(super) fn retry(standing: &Standing, error: &str) -> Vec<String> {
    let Standing { attempt, attempt_max, pause, .. } = standing;
    let when = if pause.is_zero() { String::new() } else { format!(" in {}", words::humane(*pause)) };
    vec![
        problem(format!("A fault of the platform, not of the push: {}", words::line(error, ERROR_MAX))),
        detail(format!("trying again{when} (attempt {} of {attempt_max})", attempt + 1)),
    ]
}

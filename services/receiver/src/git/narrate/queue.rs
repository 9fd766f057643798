//! The place of a build in the queue, told when it changes, but not oftener than anybody reads.

use jiff::{SignedDuration, Timestamp};
use store::queue::standing::{Standing, Why};

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
        self.standing.position == 1 && matches!(self.standing.why, Why::Builder | Why::Turn)
    }

    fn told(&mut self, now: Timestamp) -> Vec<String> {
        (self.told_at, self.is_told) = (now, true);
        let Standing { position, waiting, running, ahead, why, starts_in, .. } = &self.standing;
        let begins =
            starts_in.map(|it| format!(", begins in about {}", words::about(it))).unwrap_or_default();
        let mut lines = Vec::new();
        if *position > 1 {
            let named: Vec<String> = ahead.iter().map(|it| format!("{} #{}", it.app, it.number)).collect();
            let more = position - 1 - i64::try_from(named.len()).unwrap_or_default();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let named = named.join(", ");
            lines
                .push(phase(format!("Queued: number {position} of {waiting}, behind {named}{more}{begins}")));
        } else {
            let runs =
                if *running == 1 { "1 build runs".to_owned() } else { format!("{running} builds run") };
            lines.push(phase(format!("Queued: next ({runs}){begins}")));
        }
        lines.extend(self.holds(why).map(detail));
        lines
    }

    /// What it waits for, when that is not only others' turn.
    fn holds(&self, why: &Why) -> Option<String> {
        let app = &self.app;
        match why {
            Why::App { number, limit: 1 } => {
                Some(format!("waits for build #{number} of {app}: builds of {app} run one at a time"))
            }
            Why::App { number, limit } => {
                Some(format!("waits for build #{number} of {app}: {limit} builds of {app} run at a time"))
            }
            Why::Branch { number } => {
                Some(format!("waits for build #{number} of {app}: builds of one branch run one at a time"))
            }
            Why::Team { name, limit } => {
                Some(format!("waits for a build of team {name}: {limit} run at a time"))
            }
            Why::Pause | Why::Turn | Why::Builder => None,
        }
    }

    pub(super) fn still(&self, now: Timestamp) -> String {
        let age = words::age(self.since, now);
        match (self.standing.why.number(), self.standing.position) {
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

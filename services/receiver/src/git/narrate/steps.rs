//! The steps of a build and their lines: each under the name of its step, and cached steps only counted.

use std::collections::BTreeMap;

use jiff::Timestamp;
use store::log::Step;

use super::{detail, phase, words};

/// What the builder's own lines begin with.
const OWN: &str = "builder: ";
/// A step that took less is not told how long it took.
const WORTH_TELLING_MS: u64 = 1000;

#[derive(Debug, Default)]
pub(super) struct Steps {
    attempt: i32,
    /// The step whose name was shown last.
    current: Option<i32>,
    known: BTreeMap<i32, Known>,
    /// The last of the builder's own lines.
    own: String,
}

#[derive(Debug)]
struct Known {
    name: String,
    running_since: Option<Timestamp>,
    is_shown: bool,
    is_cached: bool,
}

impl Steps {
    pub(super) fn began(&mut self, step: &Step, now: Timestamp) -> Vec<String> {
        let mut lines = Vec::new();
        if step.attempt > self.attempt {
            // An attempt that was lost never ended its steps.
            self.known.clear();
            self.current = None;
            if self.attempt > 0 {
                lines.push(phase(format!("Attempt {}", step.attempt)));
            }
            self.attempt = step.attempt;
        }
        // One that was handed back begins its steps once more, in the same attempt.
        self.known.retain(|number, it| *number >= step.number || it.name != step.name);
        let known = self.known.entry(step.number).or_insert_with(|| Known {
            name: String::new(),
            running_since: None,
            is_shown: false,
            is_cached: false,
        });
        known.name.clone_from(&step.name);
        known.is_cached = step.cached;
        if step.cached {
            return lines;
        }
        known.running_since = Some(step.started_at.map_or(now, |at| at.0));
        let is_of_interest = words::numbered(&step.name).is_some() || step.name.starts_with("exporting ");
        if is_of_interest && !known.is_shown {
            lines.push(detail(words::step(&known.name)));
            known.is_shown = true;
            self.current = Some(step.number);
        }
        lines
    }

    pub(super) fn ended(&mut self, step: &Step) -> Vec<String> {
        let Some(known) = self.known.get_mut(&step.number) else { return Vec::new() };
        known.running_since = None;
        known.is_cached = step.cached;
        let took = step.completed_at.zip(step.started_at).map_or(0, |(end, start)| end.since_ms(start));
        if !known.is_shown || step.cached || step.error.is_some() || took < WORTH_TELLING_MS {
            return Vec::new();
        }
        let took = words::humane(std::time::Duration::from_millis(took));
        if self.current == Some(step.number) {
            return vec![detail(format!("  done in {took}"))];
        }
        vec![detail(format!("{}: done in {took}", words::step(&known.name)))]
    }

    pub(super) fn line(&mut self, step: i32, text: &str) -> Vec<String> {
        if step == 0 {
            let text = text.strip_prefix(OWN).unwrap_or(text);
            text.clone_into(&mut self.own);
            return vec![detail(text)];
        }
        let mut lines = Vec::with_capacity(1);
        if self.current != Some(step)
            && let Some(known) = self.known.get_mut(&step)
        {
            let again = if known.is_shown { " (goes on)" } else { "" };
            lines.push(detail(format!("{}{again}", words::step(&known.name))));
            known.is_shown = true;
            self.current = Some(step);
        }
        lines.push(detail(format!("  {text}")));
        lines
    }

    /// Whether the builder has just told of this itself.
    pub(super) fn has_said(&self, error: &str) -> bool {
        self.own.contains(error)
    }

    /// What runs, and since when the one that is named first does.
    pub(super) fn running(&self) -> Option<(String, Timestamp)> {
        let mut running = self.known.values().filter_map(|it| Some((it, it.running_since?)));
        let (first, since) = running.next()?;
        let more = match running.count() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Some((words::command(&first.name) + &more, since))
    }

    /// `4 of 7 steps cached`, when there were steps.
    pub(super) fn cached(&self) -> Option<String> {
        let steps: Vec<&Known> =
            self.known.values().filter(|it| words::numbered(&it.name).is_some()).collect();
        let cached = steps.iter().filter(|it| it.is_cached).count();
        (!steps.is_empty()).then(|| format!("{cached} of {} steps cached", steps.len()))
    }
}

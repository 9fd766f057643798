//! Brings steps and lines, which are kept apart, into the order in which they are told: a step begins before its lines
//! and ends after them, whether they are read as they come or long after. Pure.

use std::collections::BTreeMap;

use store::log::{Line, Step};

use crate::git::narrate::Event;

/// The steps that were told of.
#[derive(Debug, Default)]
pub(super) struct Order {
    told: BTreeMap<i32, Told>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Began,
    Ended,
    /// Of an attempt that was over before anybody heard of it.
    Never,
}

impl Order {
    /// `steps` are all steps of the build, by number; `lines` those that follow the lines before. `is_last`: no more of
    /// them are there by now.
    pub(super) fn arrange(&mut self, steps: &[Step], lines: Vec<Line>, is_last: bool) -> Vec<Event> {
        let last_lines: BTreeMap<i32, i64> = lines.iter().map(|line| (line.step, line.number)).collect();
        let mut events = Vec::with_capacity(lines.len());
        let mut of = 0;
        for Line { number, step, text, .. } in lines {
            if std::mem::replace(&mut of, step) != step
                && let Some(attempt) = steps.iter().find(|it| it.number == step).map(|it| it.attempt)
            {
                let is_silent = |it: &Step| last_lines.get(&it.number).is_none_or(|last| *last < number);
                self.catch_up(
                    steps,
                    attempt,
                    &mut events,
                    |it| it.number <= step,
                    |it| it.number != step && is_silent(it),
                );
            }
            events.push(Event::Line { step, text });
        }
        if let Some(attempt) = steps.iter().map(|it| it.attempt).max().filter(|_| is_last) {
            self.catch_up(steps, attempt, &mut events, |_| true, |_| true);
        }
        events
    }

    /// Tells of the steps of `attempt` that began or ended and that may be told so.
    fn catch_up(
        &mut self,
        steps: &[Step],
        attempt: i32,
        events: &mut Vec<Event>,
        may_begin: impl Fn(&Step) -> bool,
        may_end: impl Fn(&Step) -> bool,
    ) {
        for step in steps.iter().filter(|it| it.attempt <= attempt) {
            let told = self.told.get(&step.number).copied();
            if step.attempt < attempt {
                if told.is_none() {
                    self.told.insert(step.number, Told::Never);
                }
                continue;
            }
            // A step whose files were only looked at may begin once more.
            let has_begun =
                told == Some(Told::Began) || (told == Some(Told::Ended) && step.completed_at.is_some());
            if !has_begun && step.started_at.is_some() && may_begin(step) {
                self.told.insert(step.number, Told::Began);
                events.push(Event::StepBegan(step.clone()));
            }
            if self.told.get(&step.number) == Some(&Told::Began)
                && step.completed_at.is_some()
                && may_end(step)
            {
                self.told.insert(step.number, Told::Ended);
                events.push(Event::StepEnded(step.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use store::Time;

    use super::*;

    fn step(number: i32, attempt: i32, is_completed: bool) -> Step {
        let at = Time(jiff::Timestamp::UNIX_EPOCH);
        Step {
            number,
            attempt,
            name: String::new(),
            cached: false,
            error: None,
            started_at: Some(at),
            completed_at: is_completed.then_some(at),
            inputs: Vec::new(),
        }
    }

    fn lines(from: i64, steps: &[i32]) -> Vec<Line> {
        let line = |(number, &step): (i64, &i32)| {
            let at = Time(jiff::Timestamp::UNIX_EPOCH);
            Line { number, step, at, continues: false, text: String::new() }
        };
        (from..).zip(steps).map(line).collect()
    }

    /// `+3` began, `-3` ended, `3` a line.
    fn told(events: &[Event]) -> String {
        let word = |event: &Event| {
            if let Event::Line { step, .. } = event {
                return step.to_string();
            }
            let began = if let Event::StepBegan(step) = event { Some(step.number) } else { None };
            let ended = if let Event::StepEnded(step) = event { Some(-step.number) } else { None };
            format!("{:+}", began.or(ended).unwrap())
        };
        events.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_build_that_has_ended_reads_like_one_that_runs() {
        let steps: Vec<Step> = (1..=4).map(|number| step(number, 1, true)).collect();
        let events = Order::default().arrange(&steps, lines(0, &[0, 2, 2, 4, 0]), true);
        assert_eq!(told(&events), "0 +1 -1 +2 2 2 -2 +3 -3 +4 4 0 -4");
    }

    #[test]
    fn steps_are_told_as_they_begin_and_end() {
        let mut order = Order::default();
        assert_eq!(told(&order.arrange(&[step(1, 1, false)], lines(0, &[0]), true)), "0 +1");
        let steps = [step(1, 1, true), step(2, 1, false)];
        assert_eq!(told(&order.arrange(&steps, lines(1, &[1, 2]), true)), "1 -1 +2 2");
        assert_eq!(told(&order.arrange(&steps, lines(3, &[2]), true)), "2");
        let again = [step(1, 1, false), step(2, 1, true)];
        assert_eq!(
            told(&order.arrange(&again, Vec::new(), true)),
            "+1 -2",
            "its files were only looked at before"
        );
    }

    #[test]
    fn nothing_is_told_before_the_lines_that_were_not_read_yet() {
        let mut order = Order::default();
        let steps = [step(1, 1, true), step(2, 1, true), step(3, 1, true)];
        assert_eq!(told(&order.arrange(&steps, lines(0, &[1, 1]), false)), "+1 1 1");
        assert_eq!(told(&order.arrange(&steps, lines(2, &[1, 3]), false)), "1 -1 +2 -2 +3 3");
        assert_eq!(told(&order.arrange(&steps, lines(4, &[3]), true)), "3 -3");
    }

    #[test]
    fn steps_beside_each_other_end_after_their_lines() {
        let steps = [step(1, 1, true), step(2, 1, true)];
        let events = Order::default().arrange(&steps, lines(0, &[1, 2, 1, 2, 2]), true);
        assert_eq!(told(&events), "+1 1 +2 2 1 -1 2 2 -2");
    }

    #[test]
    fn what_an_attempt_left_untold_stays_so() {
        let mut order = Order::default();
        let steps = [step(1, 1, true), step(2, 1, false), step(3, 2, true), step(4, 2, true)];
        assert_eq!(told(&order.arrange(&steps, lines(0, &[1, 0, 0, 4]), true)), "+1 1 0 0 +3 -3 +4 4 -4");
    }
}

//! The critical path of an attempt: the chain of steps, each needing the one before, that took longest together. What is
//! made faster elsewhere makes the build no faster. Pure.

use std::collections::HashMap;

use super::Step;

/// Marks the steps that are on the critical path of their attempt. Steps that have not ended count nothing yet.
pub(crate) fn mark(steps: &mut [Step]) {
    let mut attempts: Vec<i32> = steps.iter().map(|step| step.attempt).collect();
    attempts.dedup();
    for attempt in attempts {
        let path = path(steps.iter().filter(|step| step.attempt == attempt));
        for step in steps.iter_mut() {
            step.critical |= path.contains(&step.number);
        }
    }
}

/// What a step and the longest chain before it took.
#[derive(Clone, Copy)]
struct Chain {
    took_ms: u64,
    before: Option<i32>,
}

fn path<'a>(steps: impl Iterator<Item = &'a Step>) -> Vec<i32> {
    let mut steps: Vec<&Step> = steps.filter(|step| step.completed_at.is_some()).collect();
    // A step begins when those that it needs have ended.
    steps.sort_by_key(|step| (step.completed_at.map(|at| at.0), step.number));
    let mut chains: HashMap<i32, Chain> = HashMap::new();
    let mut longest: Option<(u64, i32)> = None;
    for step in steps {
        let before = step.inputs.iter().filter_map(|input| Some((chains.get(input)?.took_ms, *input))).max();
        let took_ms = step.took_ms.unwrap_or(0) + before.map_or(0, |(took_ms, _)| took_ms);
        chains.insert(step.number, Chain { took_ms, before: before.map(|(_, number)| number) });
        if longest.is_none_or(|(most, _)| took_ms > most) {
            longest = Some((took_ms, step.number));
        }
    }
    let last = longest.filter(|(took_ms, _)| *took_ms > 0).map(|(_, number)| number);
    std::iter::successors(last, |number| chains.get(number)?.before).collect()
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};
    use store::Time;

    use super::*;

    fn step(number: i32, attempt: i32, inputs: &[i32], from: i64, to: Option<i64>) -> Step {
        let at = |ms| Time(Timestamp::UNIX_EPOCH + SignedDuration::from_millis(ms));
        Step::from(store::log::Step {
            number,
            attempt,
            name: String::new(),
            cached: false,
            error: None,
            started_at: Some(at(from)),
            completed_at: to.map(at),
            inputs: inputs.to_vec(),
        })
    }

    fn marked(mut steps: Vec<Step>) -> Vec<i32> {
        mark(&mut steps);
        steps.iter().filter(|step| step.critical).map(|step| step.number).collect()
    }

    #[test]
    fn the_chain_that_takes_longest_is_critical() {
        let steps = vec![
            step(1, 1, &[], 0, Some(900)),
            step(2, 1, &[], 0, Some(100)),
            step(3, 1, &[2], 100, Some(700)),
            step(4, 1, &[1, 3], 900, Some(1000)),
            step(5, 1, &[3], 700, Some(1050)),
        ];
        // 2, 3 and 5 take 1050 ms, 1 and 4 take 1000.
        assert_eq!(marked(steps), [2, 3, 5]);
    }

    #[test]
    fn each_attempt_has_its_own_and_what_runs_counts_nothing() {
        let steps = vec![
            step(1, 1, &[], 0, Some(10)),
            step(2, 2, &[], 100, Some(100)),
            step(3, 2, &[2], 100, Some(150)),
            step(4, 2, &[3], 150, None),
        ];
        assert_eq!(marked(steps), [1, 2, 3]);
        assert_eq!(marked(vec![step(1, 1, &[], 0, Some(0)), step(2, 1, &[1], 0, None)]), [0; 0]);
    }

    #[test]
    fn a_step_that_needs_itself_is_no_loop() {
        assert_eq!(marked(vec![step(1, 1, &[1, 2], 0, Some(5)), step(2, 1, &[1], 0, Some(5))]), [1, 2]);
    }
}

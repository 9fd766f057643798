//! A step of a build, and where it lies on the build's time axis.

use store::Time;

use super::between;

#[derive(Clone, Debug, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Step {
    pub(crate) number: i32,
    pub(crate) attempt: i32,
    pub(crate) name: String,
    /// `waiting`, `running`, `done`, `cached` or `failed`.
    pub(crate) state: &'static str,
    pub(crate) cached: bool,
    pub(crate) error: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) started_at: Option<Time>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) completed_at: Option<Time>,
    pub(crate) took_ms: Option<u64>,
    /// The numbers of the steps whose results it needs.
    pub(crate) inputs: Vec<i32>,
    /// It is on the critical path: the chain of steps that took longest together.
    pub(crate) critical: bool,
}

impl From<store::log::Step> for Step {
    fn from(row: store::log::Step) -> Step {
        let state = match (&row.error, row.cached, row.started_at, row.completed_at) {
            (Some(_), ..) => "failed",
            (None, true, ..) => "cached",
            (None, false, _, Some(_)) => "done",
            (None, false, Some(_), None) => "running",
            (None, false, None, None) => "waiting",
        };
        Step {
            number: row.number,
            attempt: row.attempt,
            name: row.name,
            state,
            cached: row.cached,
            error: row.error,
            started_at: row.started_at,
            completed_at: row.completed_at,
            took_ms: between(row.started_at, row.completed_at),
            inputs: row.inputs,
            critical: false,
        }
    }
}

/// A stretch of the time axis, in thousandths of its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bar {
    pub(crate) start: u64,
    pub(crate) width: u64,
}

/// One bar for each step that has begun. The axis of an attempt begins with its first step and ends with its last;
/// `now` is the end of what still runs.
pub(crate) fn bars(steps: &[Step], now: Time) -> Vec<Option<Bar>> {
    steps.iter().map(|step| bar(step, steps.iter().filter(|it| it.attempt == step.attempt), now)).collect()
}

fn bar<'a>(step: &Step, attempt: impl Iterator<Item = &'a Step>, now: Time) -> Option<Bar> {
    let span = |it: &Step| Some((it.started_at?, it.completed_at.unwrap_or(now)));
    let (mut first, mut last) = span(step)?;
    for (start, end) in attempt.filter_map(span) {
        first = first.min(start);
        last = last.max(end);
    }
    let length = last.since_ms(first).max(1);
    let (start, end) = span(step)?;
    let start_at = start.since_ms(first) * 1000 / length;
    // What took no time is still seen.
    let width = (end.since_ms(start) * 1000 / length).max(6);
    Some(Bar { start: start_at.min(1000 - 6), width: width.min(1000) })
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::*;

    fn at(ms: i64) -> Time {
        Time(Timestamp::UNIX_EPOCH + SignedDuration::from_millis(ms))
    }

    fn step(attempt: i32, started: Option<i64>, completed: Option<i64>) -> Step {
        Step::from(store::log::Step {
            number: 1,
            attempt,
            name: "RUN npm ci".into(),
            cached: false,
            error: None,
            started_at: started.map(at),
            completed_at: completed.map(at),
            inputs: vec![],
        })
    }

    #[test]
    fn bars_lie_on_the_axis_of_their_attempt() {
        let steps = [
            step(1, Some(0), Some(100)),
            step(2, Some(1000), Some(1500)),
            step(2, Some(1500), Some(1500)),
            step(2, Some(1500), None),
            step(2, None, None),
        ];
        let bars = bars(&steps, at(2000));
        let bar = |start, width| Some(Bar { start, width });
        assert_eq!(bars, [bar(0, 1000), bar(0, 500), bar(500, 6), bar(500, 500), None]);
    }

    #[test]
    fn a_step_has_one_state() {
        let states =
            [step(1, None, None), step(1, Some(0), None), step(1, Some(0), Some(1))].map(|it| it.state);
        assert_eq!(states, ["waiting", "running", "done"]);
    }
}

//! BuildKit's status messages as steps and log lines. Pure: messages in, events out.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bollard_buildkit_proto::google::protobuf;
use bollard_buildkit_proto::moby::buildkit::v1::{StatusResponse, Vertex, VertexLog};
use domain::reason::LINES_MAX;
use jiff::Timestamp;

use crate::line::LineBuffer;

/// What became known about a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A step began or changed; this is all of it.
    Step(Step),
    Line(Line),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// From 1, in the order in which steps begin.
    pub number: i32,
    pub name: String,
    pub cached: bool,
    pub started: Option<Timestamp>,
    pub completed: Option<Timestamp>,
    pub error: Option<String>,
}

impl Step {
    /// Whether BuildKit made the step for its own ends, such as loading the Dockerfile.
    pub fn is_internal(&self) -> bool {
        self.name.starts_with("[internal]")
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The step's number.
    pub step: i32,
    pub text: String,
}

/// All that was seen of one build.
#[derive(Debug, Default)]
pub struct Progress {
    steps: HashMap<String, Tracked>,
}

#[derive(Debug, Default)]
struct Tracked {
    step: Step,
    buffers: BTreeMap<i64, LineBuffer>,
    last_lines: VecDeque<String>,
}

impl Progress {
    pub fn apply(&mut self, status: &StatusResponse) -> Vec<Event> {
        let mut events = Vec::new();
        for vertex in &status.vertexes {
            events.extend(self.apply_vertex(vertex));
        }
        for log in &status.logs {
            self.apply_log(log, &mut events);
        }
        for vertex in status.vertexes.iter().filter(|vertex| vertex.completed.is_some()) {
            if let Some(tracked) = self.steps.get_mut(&vertex.digest) {
                tracked.flush(&mut events);
            }
        }
        events
    }

    /// The lines that were begun and not ended.
    pub fn finish(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        let mut tracked: Vec<_> = self.steps.values_mut().collect();
        tracked.sort_by_key(|tracked| tracked.step.number);
        for tracked in tracked {
            tracked.flush(&mut events);
        }
        events
    }

    pub(crate) fn step(&self, digest: &str) -> Option<&Step> {
        self.steps.get(digest).map(|tracked| &tracked.step)
    }

    /// The last lines of a step's output.
    pub(crate) fn last_lines(&self, digest: &str) -> Vec<String> {
        self.steps.get(digest).map(|tracked| tracked.last_lines.iter().cloned().collect()).unwrap_or_default()
    }

    /// A vertex is told several times over; the last time counts. One that never begins is no step.
    fn apply_vertex(&mut self, vertex: &Vertex) -> Option<Event> {
        if vertex.started.is_none() && !self.steps.contains_key(&vertex.digest) {
            return None;
        }
        let tracked = self.tracked(&vertex.digest);
        let step = Step {
            number: tracked.step.number,
            name: vertex.name.clone(),
            cached: vertex.cached,
            started: vertex.started.and_then(timestamp).or(tracked.step.started),
            completed: vertex.completed.and_then(timestamp),
            error: (!vertex.error.is_empty()).then(|| vertex.error.clone()),
        };
        (tracked.step != step).then(|| {
            tracked.step = step.clone();
            Event::Step(step)
        })
    }

    fn apply_log(&mut self, log: &VertexLog, events: &mut Vec<Event>) {
        let known = self.steps.contains_key(&log.vertex);
        let tracked = self.tracked(&log.vertex);
        if !known {
            events.push(Event::Step(tracked.step.clone()));
        }
        for text in tracked.buffers.entry(log.stream).or_default().push(&log.msg) {
            tracked.emit(text, events);
        }
    }

    fn tracked(&mut self, digest: &str) -> &mut Tracked {
        let number = i32::try_from(self.steps.len()).unwrap_or(i32::MAX).saturating_add(1);
        self.steps
            .entry(digest.to_owned())
            .or_insert_with(|| Tracked { step: Step { number, ..Step::default() }, ..Tracked::default() })
    }
}

impl Tracked {
    fn flush(&mut self, events: &mut Vec<Event>) {
        let rest: Vec<_> = self.buffers.values_mut().filter_map(LineBuffer::flush).collect();
        for text in rest {
            self.emit(text, events);
        }
    }

    fn emit(&mut self, text: String, events: &mut Vec<Event>) {
        if self.last_lines.len() == LINES_MAX {
            self.last_lines.pop_front();
        }
        self.last_lines.push_back(text.clone());
        events.push(Event::Line(Line { step: self.step.number, text }));
    }
}

fn timestamp(time: protobuf::Timestamp) -> Option<Timestamp> {
    Timestamp::new(time.seconds, time.nanos).ok()
}

#[cfg(test)]
mod tests;

//! BuildKit's status messages as steps and log lines, without the secrets in them. Pure: messages in, events out.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use bollard_buildkit_proto::google::protobuf;
use bollard_buildkit_proto::moby::buildkit::v1::{StatusResponse, Vertex, VertexLog};
use domain::reason::LINES_MAX;
use jiff::Timestamp;
use redact::Redactor;

use crate::line::{LineBuffer, Piece};
use crate::names::Names;

/// So much of a line is kept to be shown beside a failure.
const LAST_LINE_MAX: usize = 4 << 10;

/// What became known about a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A step began or changed; this is all of it.
    Step(Step),
    Line(Line),
}

impl Event {
    /// What it holds.
    pub fn bytes(&self) -> usize {
        match self {
            Event::Step(step) => step.name.len() + step.error.as_ref().map_or(0, String::len),
            Event::Line(line) => line.bytes.len(),
        }
    }
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
    /// The steps whose results it needs.
    pub inputs: Vec<i32>,
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
    /// As the step wrote it, without the line's end.
    pub bytes: Vec<u8>,
    /// It goes on with the step's line before it, which was too long for one.
    pub continues: bool,
}

/// All that was seen of one build.
#[derive(Debug)]
pub struct Progress {
    redactor: Redactor,
    names: Names,
    steps: HashMap<String, Tracked>,
    /// Of every vertex, those that are no steps included.
    inputs: HashMap<String, Vec<String>>,
}

#[derive(Debug, Default)]
struct Tracked {
    step: Step,
    outputs: BTreeMap<i64, Output>,
    last_lines: VecDeque<Vec<u8>>,
}

/// What a step writes to one descriptor. Secrets are taken out before anything else sees it.
#[derive(Debug)]
struct Output {
    redacted: redact::Stream,
    lines: LineBuffer,
}

impl Default for Progress {
    /// Of a build without secrets.
    fn default() -> Progress {
        Progress::new(Redactor::new([]), Names::default())
    }
}

impl Progress {
    /// `redactor` knows the secrets that steps may print.
    pub fn new(redactor: Redactor, names: Names) -> Progress {
        Progress { redactor, names, steps: HashMap::new(), inputs: HashMap::new() }
    }

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
        let lines = self.steps.get(digest).map(|tracked| tracked.last_lines.iter()).into_iter().flatten();
        // They become a part of JSON, which PostgreSQL keeps without NUL.
        lines.map(|line| String::from_utf8_lossy(line).replace('\0', "")).collect()
    }

    /// A vertex is told several times over; the last time counts. One that never begins is no step.
    fn apply_vertex(&mut self, vertex: &Vertex) -> Option<Event> {
        if !vertex.inputs.is_empty() {
            self.inputs.insert(vertex.digest.clone(), vertex.inputs.clone());
        }
        if vertex.started.is_none() && !self.steps.contains_key(&vertex.digest) {
            return None;
        }
        let inputs = self.inputs_of(&vertex.digest);
        let name = self.redactor.redact(&self.names.shown(&vertex.name)).into_owned();
        let error = (!vertex.error.is_empty()).then(|| self.redactor.redact(&vertex.error).into_owned());
        let tracked = self.tracked(&vertex.digest);
        let step = Step {
            number: tracked.step.number,
            name,
            cached: vertex.cached,
            started: vertex.started.and_then(timestamp).or(tracked.step.started),
            completed: vertex.completed.and_then(timestamp),
            error,
            inputs,
        };
        (tracked.step != step).then(|| {
            tracked.step = step.clone();
            Event::Step(step)
        })
    }

    fn apply_log(&mut self, log: &VertexLog, events: &mut Vec<Event>) {
        let known = self.steps.contains_key(&log.vertex);
        let redactor = self.redactor.clone();
        let tracked = self.tracked(&log.vertex);
        if !known {
            events.push(Event::Step(tracked.step.clone()));
        }
        let output = tracked
            .outputs
            .entry(log.stream)
            .or_insert_with(|| Output { redacted: redactor.stream(), lines: LineBuffer::default() });
        for piece in output.lines.push(&output.redacted.push(&log.msg)) {
            tracked.emit(piece, events);
        }
    }

    /// The steps that a vertex needs; behind one that is none, those that that one needs.
    fn inputs_of(&self, digest: &str) -> Vec<i32> {
        let mut numbers = BTreeSet::new();
        let mut seen = BTreeSet::from([digest]);
        let mut open = vec![digest];
        while let Some(digest) = open.pop() {
            for input in self.inputs.get(digest).into_iter().flatten().filter(|it| seen.insert(it)) {
                match self.steps.get(input) {
                    Some(tracked) => {
                        numbers.insert(tracked.step.number);
                    }
                    None => open.push(input),
                }
            }
        }
        numbers.into_iter().collect()
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
        let mut rest = Vec::new();
        for output in self.outputs.values_mut() {
            rest.extend(output.lines.push(&output.redacted.finish()));
            rest.extend(output.lines.flush());
        }
        for piece in rest {
            self.emit(piece, events);
        }
    }

    fn emit(&mut self, Piece { bytes, continues }: Piece, events: &mut Vec<Event>) {
        if self.last_lines.len() == LINES_MAX {
            self.last_lines.pop_front();
        }
        self.last_lines.push_back(bytes[..bytes.len().min(LAST_LINE_MAX)].to_vec());
        events.push(Event::Line(Line { step: self.step.number, bytes, continues }));
    }
}

fn timestamp(time: protobuf::Timestamp) -> Option<Timestamp> {
    Timestamp::new(time.seconds, time.nanos).ok()
}

#[cfg(test)]
mod tests;

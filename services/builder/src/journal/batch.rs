//! What is to be written next: events become steps and chunks of lines. Pure.

use std::collections::BTreeMap;

use anyhow::Result;
use buildkit::progress::{Event, Line, Step};
use store::log::{Chunk, Dropped, Lines, StepUpdate};

use super::BUILD;
use super::quota::{Fate, Quota};

#[derive(Debug)]
pub(super) struct Batch {
    attempt: i32,
    steps_before: i32,
    steps: BTreeMap<i32, StepUpdate>,
    lines: Vec<Lines>,
    bytes: usize,
    quota: Quota,
}

/// What is written together, compressed.
#[derive(Debug, Default)]
pub(super) struct Sealed {
    pub(super) steps: Vec<StepUpdate>,
    pub(super) chunks: Vec<Chunk>,
    pub(super) dropped: Dropped,
    bytes: usize,
}

impl Batch {
    pub(super) const fn new(attempt: i32, steps_before: i32, quota: Quota) -> Batch {
        Batch { attempt, steps_before, steps: BTreeMap::new(), lines: Vec::new(), bytes: 0, quota }
    }

    /// Of what is to be written.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn add(&mut self, event: Event) {
        self.bytes += event.bytes();
        match event {
            Event::Step(step) => {
                if step.error.is_some() {
                    self.release();
                }
                let step = self.update(step);
                self.steps.insert(step.number, step);
            }
            Event::Line(line) if line.step == BUILD => {
                self.release();
                self.push(&line);
            }
            Event::Line(line) => {
                let step = self.steps_before + line.step;
                match self.quota.judge(Line { step, ..line }) {
                    Fate::Written(line) => self.push(&line),
                    Fate::Kept(news) => news.into_iter().for_each(|news| self.say(&news)),
                }
            }
        }
    }

    fn update(&self, step: Step) -> StepUpdate {
        StepUpdate {
            number: self.steps_before + step.number,
            attempt: self.attempt,
            name: step.name,
            cached: step.cached,
            error: step.error,
            started_at: step.started,
            completed_at: step.completed,
            inputs: step.inputs.iter().map(|input| self.steps_before + input).collect(),
        }
    }

    /// The end of a log that is too long, before what is said next.
    fn release(&mut self) {
        let (news, kept) = self.quota.release();
        news.into_iter().for_each(|news| self.say(&news));
        for line in kept {
            self.bytes += line.bytes.len();
            self.push(&line);
        }
    }

    fn say(&mut self, text: &str) {
        let bytes = format!("builder: {text}").into_bytes();
        self.push(&Line { step: BUILD, bytes, continues: false });
    }

    /// Lines of one step stay in order and come together; lines of the build stay in their place among all.
    fn push(&mut self, line: &Line) {
        if line.continues {
            return self.lines.push(Lines::rest(line.step, &line.bytes));
        }
        let after_build = self.lines.iter().rposition(|chunk| chunk.step() == BUILD).map_or(0, |at| at + 1);
        let from = if line.step == BUILD { self.lines.len().saturating_sub(1) } else { after_build };
        match self.lines[from..].iter_mut().rfind(|chunk| chunk.step() == line.step) {
            Some(chunk) => chunk.push(&line.bytes),
            None => self.lines.push(Lines::of(line.step, [&line.bytes])),
        }
    }

    /// Nothing follows.
    pub(super) fn end(&mut self) {
        self.release();
    }

    pub(super) fn seal(&mut self) -> Result<Sealed> {
        self.bytes = 0;
        let steps: Vec<_> = std::mem::take(&mut self.steps).into_values().collect();
        let chunks = self.lines.drain(..).map(|lines| lines.pack()).collect::<Result<Vec<_>>>()?;
        let bytes = chunks.iter().map(Chunk::stored_bytes).sum::<usize>()
            + steps.iter().map(|step| step.name.len()).sum::<usize>();
        Ok(Sealed { steps, chunks, dropped: self.quota.take_dropped(), bytes })
    }

    #[cfg(test)]
    pub(super) fn take_lines(&mut self) -> Vec<Lines> {
        self.bytes = 0;
        std::mem::take(&mut self.lines)
    }
}

impl Sealed {
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.chunks.is_empty() && self.dropped == Dropped::default()
    }

    /// What came after it; of a step the last word counts.
    pub(super) fn add(&mut self, later: Sealed) {
        self.steps.extend(later.steps);
        self.chunks.extend(later.chunks);
        self.dropped.lines += later.dropped.lines;
        self.dropped.bytes += later.dropped.bytes;
        self.bytes += later.bytes;
    }
}

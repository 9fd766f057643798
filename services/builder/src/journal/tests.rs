//! What becomes one write, and what is dropped.

use super::*;

fn line(step: i32, text: &str) -> Event {
    Event::Line(Line { step, text: text.to_owned() })
}

fn shown(batch: &mut Batch) -> Vec<String> {
    let (_, lines) = batch.take();
    lines.iter().map(|chunk| format!("{}: {}", chunk.step, chunk.lines.join(" "))).collect()
}

#[test]
fn lines_of_a_step_come_together_and_lines_of_the_build_keep_their_place() {
    let mut batch = Batch::new(1, 0);
    for (step, text) in
        [(0, "a"), (0, "b"), (1, "c"), (2, "d"), (1, "e"), (0, "f"), (1, "g"), (2, "h"), (1, "i")]
    {
        batch.add(line(step, text));
    }
    assert_eq!(shown(&mut batch), ["0: a b", "1: c e", "2: d", "0: f", "1: g i", "2: h"]);
    assert_eq!((batch.bytes, shown(&mut batch)), (0, vec![]));
}

#[test]
fn steps_are_numbered_after_those_of_earlier_attempts_and_the_last_word_counts() {
    let mut batch = Batch::new(2, 7);
    let step = |name: &str| Step { number: 1, name: name.to_owned(), ..Step::default() };
    batch.add(Event::Step(step("FROM a")));
    batch.add(Event::Step(Step { cached: true, ..step("FROM a") }));
    batch.add(line(1, "x"));
    let (steps, lines) = batch.take();
    assert_eq!(steps.len(), 1);
    assert!(steps[0].cached && steps[0].number == 8 && steps[0].attempt == 2);
    assert_eq!(lines[0].step, 8);
}

#[test]
fn a_log_without_end_is_cut_and_says_so() {
    let mut batch = Batch::new(1, 0);
    let big = "x".repeat((1 << 20) - 1);
    for _ in 0..64 {
        batch.add(line(1, &big));
    }
    assert!(!batch.end(), "exactly the limit");
    batch.take();
    batch.add(line(1, "one more"));
    batch.add(line(1, "and another"));
    batch.add(line(0, "builder: still heard"));
    assert!(batch.end());
    assert_eq!(
        shown(&mut batch),
        ["0: builder: the log is longer than 64 MiB; what follows of it is dropped builder: still heard \
          builder: 2 lines were dropped"]
    );
}

//! What becomes one write, what is left out, and what happens when the database is away or slow.

mod database;

use std::collections::VecDeque;

use store::log::{Dropped, Lines};

use super::batch::Batch;
use super::quota::{Fate, Quota};
use super::*;

const NO_LIMIT: u64 = 1 << 40;

fn line(step: i32, text: &str) -> Event {
    Event::Line(Line { step, bytes: text.as_bytes().to_vec(), continues: false })
}

fn batch(limit: u64) -> Batch {
    Batch::new(1, 0, Quota::new(limit, 0))
}

fn added(events: impl IntoIterator<Item = Event>) -> Vec<Lines> {
    let mut batch = batch(NO_LIMIT);
    events.into_iter().for_each(|event| batch.add(event));
    batch.take_lines()
}

#[test]
fn lines_of_a_step_come_together_and_lines_of_the_build_keep_their_place() {
    let lines = [(0, "a"), (0, "b"), (1, "c"), (2, "d"), (1, "e"), (0, "f"), (1, "g"), (2, "h"), (1, "i")];
    let lines = added(lines.map(|(step, text)| line(step, text)));
    let expected = [(0, "a b"), (1, "c e"), (2, "d"), (0, "f"), (1, "g i"), (2, "h")];
    assert_eq!(lines, expected.map(|(step, texts)| Lines::of(step, texts.split(' '))));
}

#[test]
fn the_rest_of_a_long_line_comes_after_it() {
    let rest = Event::Line(Line { step: 1, bytes: b"rest".to_vec(), continues: true });
    let lines = added([line(1, "begin"), line(2, "other"), rest, line(1, "next")]);
    let mut last = Lines::rest(1, b"rest");
    last.push(b"next");
    assert_eq!(lines, [Lines::of(1, ["begin"]), Lines::of(2, ["other"]), last]);
}

#[test]
fn steps_are_numbered_after_those_of_earlier_attempts_and_the_last_word_counts() {
    let mut batch = Batch::new(2, 7, Quota::new(NO_LIMIT, 0));
    let step = |name: &str| buildkit::progress::Step {
        number: 2,
        name: name.to_owned(),
        inputs: vec![1],
        ..Default::default()
    };
    batch.add(Event::Step(step("FROM a")));
    batch.add(Event::Step(buildkit::progress::Step { cached: true, ..step("FROM a") }));
    batch.add(line(2, "x"));
    let sealed = batch.seal().unwrap();
    assert_eq!((sealed.steps.len(), sealed.chunks.len()), (1, 1));
    assert!(sealed.steps[0].cached && sealed.steps[0].number == 9 && sealed.steps[0].attempt == 2);
    assert_eq!(sealed.steps[0].inputs, [8]);
    assert!(batch.seal().unwrap().is_empty());
}

/// As [`Line`]s of step 1, each 1024 bytes with its end.
fn numbered(n: usize) -> Line {
    Line { step: 1, bytes: format!("{n:1023}").into_bytes(), continues: false }
}

#[test]
fn a_log_without_end_loses_its_middle_and_says_so() {
    let mut quota = Quota::new(64 << 10, 0);
    let mut said = Vec::new();
    let mut written = 0;
    for n in 0..10_000 {
        match quota.judge(numbered(n)) {
            Fate::Written(line) => {
                assert_eq!(line, numbered(n));
                written += 1;
            }
            Fate::Kept(news) => said.extend(news),
        }
    }
    assert_eq!(written, 64, "up to the limit");
    assert_eq!(said[0], "the log is longer than 64.0 KiB: what follows is left out, but for its end");
    let so_far =
        ["1024 lines (1.0 MiB)", "2048 lines (2.0 MiB)", "4096 lines (4.0 MiB)", "8192 lines (8.0 MiB)"];
    assert_eq!(said[1..], so_far.map(|it| format!("{it} left out so far")));
    let dropped = 10_000 - 64 - 256;
    assert_eq!(quota.take_dropped(), Dropped { lines: dropped, bytes: dropped * 1024 });
    let (news, kept) = quota.release();
    assert_eq!(news.unwrap(), "9680 lines (9.4 MiB) left out here; the last 256 lines follow");
    assert_eq!(kept, (9_744..10_000).map(numbered).collect::<VecDeque<_>>());
    assert_eq!(quota.release(), (None, VecDeque::new()));

    for n in 0..257 {
        quota.judge(numbered(n));
    }
    let news = quota.release().0.unwrap();
    assert_eq!(
        news,
        "1 lines (1.0 KiB) left out here, 9681 lines (9.4 MiB) in all; the last 256 lines follow"
    );
    assert_eq!(quota.take_dropped(), Dropped { lines: 1, bytes: 1024 });
}

#[test]
fn what_the_builder_says_comes_after_the_end_of_the_log() {
    let mut batch = batch(10);
    for event in
        [line(1, "12345678"), line(1, "too"), line(1, "long"), line(0, "builder: failed"), line(1, "x")]
    {
        batch.add(event);
    }
    batch.end();
    let expected = [
        Lines::of(1, ["12345678"]),
        Lines::of(0, ["builder: the log is longer than 10 bytes: what follows is left out, but for its end"]),
        Lines::of(1, ["too", "long"]),
        Lines::of(0, ["builder: failed"]),
        Lines::of(1, ["x"]),
    ];
    assert_eq!(batch.take_lines(), expected);
}

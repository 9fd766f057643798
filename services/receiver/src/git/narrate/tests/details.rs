//! What a push says of its place in the queue, of faults of the platform, of silence and of steps beside each other.

use super::*;

#[test]
fn the_queue() {
    let ahead = |names: &[(&str, i32)]| -> Vec<Ahead> {
        names.iter().map(|(app, number)| Ahead { app: (*app).to_owned(), number: *number }).collect()
    };
    let mut story = Story::new(false);
    story.said();
    let far = Standing {
        position: 6,
        waiting: 9,
        running: 4,
        ahead: ahead(&[("api", 127), ("shop", 3), ("demo", 10)]),
        why: Why::App { number: 9, limit: 1 },
        ..standing()
    };
    story.tell(Event::Waits(far.clone()));
    assert_eq!(
        story.said(),
        [
            "-----> Queued: number 6 of 9, behind api #127, shop #3, demo #10 and 2 more",
            "       waits for build #9 of demo: builds of demo run one at a time",
        ]
    );
    for position in [5, 4] {
        story.tell(Event::Waits(Standing {
            position,
            ahead: ahead(&[("shop", 3)]),
            why: Why::Turn,
            starts_in: Some(Duration::from_secs(95)),
            ..far.clone()
        }));
    }
    assert!(story.said().is_empty(), "nobody reads so fast");
    let moved = "-----> Queued: number 4 of 9, behind shop #3 and 2 more, begins in about 2 min";
    assert_eq!(story.wait(3).said(), [moved], "where it is by now");
    assert_eq!(story.wait(30).said(), ["       still queued: number 4 of 9 (32 s)"]);
    story.tell(Event::Waits(Standing { running: 4, ..standing() }));
    assert_eq!(story.wait(2).said(), ["-----> Queued: next (4 builds run)"]);
    assert_eq!(story.wait(30).said(), ["       still waiting for a builder (1 min 4 s)"]);
    assert_eq!(story.tell(Event::Builds).said(), ["-----> Building"]);
}

#[test]
fn faults_of_the_platform_are_told_and_tried_again() {
    let again = |error: &str, attempt| {
        let (error, pause) = (Some(error.to_owned()), Duration::from_secs(2));
        Event::Waits(Standing { attempt, error, pause, ..standing() })
    };
    let mut story = Story::new(false);
    story.all(build()).said();
    // A builder that dies says nothing.
    story.all([again("the worker's lease ran out", 1), Event::Builds]);
    story.tell(line(0, "builder: starting over (attempt 2 of 4)"));
    story.tell(Event::StepBegan(Step { attempt: 2, ..step(5, "[1/3] FROM node", 0, None) }));
    assert_eq!(
        story.said(),
        [
            " !     A fault of the platform, not of the push: the worker's lease ran out",
            "       trying again in 2.0 s (attempt 2 of 4)",
            "       starting over (attempt 2 of 4)",
            "-----> Attempt 2",
            "       [1/3] FROM node",
        ]
    );
    // One that lives says it in the log.
    let said = "BuildKit did not answer; trying again in 5 s (attempt 3 of 4)";
    story.all([line(0, said), again("BuildKit did not answer", 2)]);
    assert_eq!(story.said(), [format!("       {said}")]);
    story.all([Event::Builds, built()]);
    assert_eq!(
        story.said()[0],
        "-----> Built in 41.3 s; 0 of 1 steps cached",
        "those of the last attempt count"
    );
}

#[test]
fn a_build_that_is_handed_back_counts_its_steps_once() {
    let mut story = Story::new(false);
    let npm = "[2/2] RUN npm ci";
    story.tell(Event::Builds).all(cached(1, "[1/2] FROM node")).tell(Event::StepBegan(step(2, npm, 0, None)));
    story.all([Event::Waits(standing()), Event::Builds]).all(cached(3, "[1/2] FROM node"));
    story.tell(Event::StepBegan(step(4, npm, 10_000, None))).said();
    assert_eq!(story.wait(40).said(), ["       still running: RUN npm ci (20 s)"]);
    story.all([Event::StepEnded(step(4, npm, 10_000, Some(50_000))), built()]);
    assert_eq!(story.said()[1], "-----> Built in 41.3 s; 1 of 2 steps cached");
}

#[test]
fn silence_is_broken_every_half_minute() {
    let mut story = Story::new(false);
    let long = "[web 3/7] RUN npm ci";
    story.all([Event::Builds, Event::StepBegan(step(3, long, 0, None))]).said();
    assert!(story.wait(29).said().is_empty());
    assert_eq!(story.wait(1).said(), ["       still running: RUN npm ci (30 s)"]);
    story.tell(Event::StepBegan(step(4, "[api 2/4] RUN cargo build", 30_000, None))).said();
    assert_eq!(
        story.wait(60).said().last().unwrap(),
        "       still running: RUN npm ci and 1 more (1 min 30 s)"
    );
    story.wait(20).tell(line(3, "a line")).said();
    assert!(story.wait(29).said().is_empty(), "a line is no silence");
    story.tell(Event::StepEnded(step(3, long, 0, Some(100)))).tell(Event::StepEnded(step(4, long, 0, None)));
    assert_eq!(story.wait(1).said(), ["       still building (2 min 20 s)"]);
    story.all([built(), release(false)]).said();
    assert_eq!(story.wait(30).said(), ["       v3 still waits for its turn to be rolled out (30 s)"]);
    story.tell(release(true)).said();
    let rolling = "       still rolling out v3; it is live when it answers GET /health on port 8080 (30 s)";
    assert_eq!(story.wait(30).said(), [rolling]);
    let away = " !     The database does not answer. The build goes on; this view of it waits.";
    assert_eq!(story.tell(Event::DatabaseAway).said(), [away]);
    assert_eq!(story.wait(30).said(), ["       still waiting for the database (30 s)"]);
    assert_eq!(story.tell(Event::DatabaseBack).said(), ["       the database answers again"]);
}

#[test]
fn steps_that_run_beside_each_other() {
    let mut story = Story::new(false);
    let (web, api) = ("[web 2/4] RUN npm ci", "[api 2/3] RUN cargo build");
    story.all([
        Event::Builds,
        Event::StepBegan(step(1, web, 0, None)),
        Event::StepBegan(step(2, api, 0, None)),
    ]);
    story.all([line(1, "a"), line(2, "b"), line(2, "c"), line(1, "d")]).said();
    story.all([line(2, "e"), Event::StepEnded(step(1, web, 0, Some(2000)))]);
    // BuildKit's own work is shown when it speaks.
    story.all([Event::StepBegan(step(3, "[internal] load metadata", 0, None)), line(3, "mirror is slow")]);
    assert_eq!(
        story.said(),
        [
            "       [api 2/3] RUN cargo build (goes on)",
            "         e",
            "       [web 2/4] RUN npm ci: done in 2.0 s",
            "       [internal] load metadata",
            "         mirror is slow",
        ]
    );
}

#[test]
fn a_verdict_is_one_short_line() {
    let mut story = Story::new(false);
    let reason =
        Reason::new(ReasonCode::StepFailed, format!("step \"RUN x\" failed:\n{}", "long ".repeat(100)));
    story.tell(Event::End(End::Failed(reason)));
    let Verdict::Failed(text) = story.verdict() else { panic!() };
    assert!(text.starts_with("build #12 failed: step \"RUN x\" failed: long long"), "{text}");
    assert!(text.chars().count() == 200 && text.ends_with('…') && !text.contains('\n'), "{text}");
    assert!(story.said()[2].contains(&"long ".repeat(50)), "people see more");
}

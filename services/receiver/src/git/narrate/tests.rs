//! Whole pushes as they are read.

use std::time::Duration;

use domain::reason::{Reason, ReasonCode};
use domain::state::BuildState;
use store::Time;
use store::log::Step;
use store::queue::standing::{Ahead, Why};
use uuid::Uuid;

use super::*;

mod details;

const PAGE: &str = " !     https://slipway.example/apps/demo/builds/12";
const URL: &str = "       https://main--demo.apps.example/";
const FIRST: [&str; 2] = [
    "-----> demo build #12 of 9f3c2ab1 (branch main, environment main)",
    "       Ctrl-C leaves it running. To come back: push the same commit again, or: slipway logs demo 12 -f",
];

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap()
}

fn about() -> About {
    let build = Build {
        id: Uuid::nil(),
        app_id: Uuid::nil(),
        branch_id: Uuid::nil(),
        number: 12,
        branch: "main".to_owned(),
        commit: "9f3c2ab1".repeat(5),
        pusher: Some("ada".to_owned()),
        rebuild_of: None,
        environment: "main".to_owned(),
        no_cache: false,
        ttl_seconds: None,
        subject: None,
        author: None,
        state: store::Word(BuildState::Queued),
        attempt: 0,
        reason: None,
        superseded_by: None,
        cancelled_by: None,
        cancelled_at: None,
        digest: None,
        created_at: Time(at(0)),
        started_at: None,
        finished_at: None,
    };
    let links = Links {
        base_url: "https://slipway.example/".parse().unwrap(),
        base_domain: "apps.example".to_owned(),
    };
    About::new("demo", &build, &links)
}

/// A narrator with its clock and all that it said.
struct Story {
    narrator: Narrator,
    ms: i64,
    lines: Vec<String>,
}

impl Story {
    fn new(is_quiet: bool) -> Story {
        let mut narrator = Narrator::new(about(), is_quiet, at(0));
        let lines = narrator.begin(false);
        Story { narrator, ms: 0, lines }
    }

    fn tell(&mut self, event: Event) -> &mut Story {
        self.lines.extend(self.narrator.tell(event, at(self.ms)));
        self
    }

    fn all(&mut self, events: impl IntoIterator<Item = Event>) -> &mut Story {
        for event in events {
            self.tell(event);
        }
        self
    }

    /// Time goes by; the narrator is asked every second.
    fn wait(&mut self, seconds: i64) -> &mut Story {
        for _ in 0..seconds {
            self.ms += 1000;
            self.lines.extend(self.narrator.tick(at(self.ms)));
        }
        self
    }

    /// What was said since the last time.
    fn said(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }

    fn verdict(&self) -> &Verdict {
        self.narrator.verdict().unwrap()
    }

    fn failed(&self, text: &str) {
        assert_eq!(*self.verdict(), Verdict::Failed(text.to_owned()));
    }
}

fn step(number: i32, name: &str, from: i64, to: Option<i64>) -> Step {
    Step {
        number,
        attempt: 1,
        name: name.to_owned(),
        cached: false,
        error: None,
        started_at: Some(Time(at(from))),
        completed_at: to.map(|ms| Time(at(ms))),
        inputs: Vec::new(),
    }
}

fn cached(number: i32, name: &str) -> [Event; 2] {
    let step = Step { cached: true, ..step(number, name, 0, Some(0)) };
    [Event::StepBegan(step.clone()), Event::StepEnded(step)]
}

fn line(step: i32, text: &str) -> Event {
    Event::Line { step, text: text.to_owned() }
}

fn standing() -> Standing {
    Standing {
        position: 1,
        waiting: 1,
        running: 0,
        ahead: Vec::new(),
        why: Why::Builder,
        starts_in: None,
        attempt: 0,
        attempt_max: 4,
        error: None,
        pause: Duration::ZERO,
    }
}

fn built() -> Event {
    let image = Image {
        repository: "registry/demo".to_owned(),
        digest: format!("sha256:{}", "1b2c3d4e".repeat(8)),
        size_bytes: 41_250_000,
    };
    Event::Built { took: Duration::from_millis(41_300), image: Some(image), new_bytes: Some(312_400) }
}

fn release(is_rolling: bool) -> Event {
    Event::Release(Release { version: 3, is_rolling, port: 8080, health_path: "/health".to_owned() })
}

fn live() -> Event {
    Event::End(End::Live { after: Duration::from_millis(1_960), is_replaced: false })
}

/// A build with two cached steps, one internal one and one that speaks.
fn build() -> Vec<Event> {
    let npm = "[3/3] RUN npm ci";
    let mut events = vec![Event::Builds, line(0, "builder: fetched 9f3c2ab1 in 12 ms")];
    events.push(Event::StepBegan(step(1, "[internal] load build context", 0, None)));
    events.push(Event::StepEnded(step(1, "[internal] load build context", 0, Some(1_500))));
    events.extend(cached(2, "[1/3] FROM docker.io/library/node:22"));
    events.extend(cached(3, "[2/3] COPY package.json ."));
    events.extend([Event::StepBegan(step(4, npm, 0, None)), line(4, "added 12 packages"), line(4, "")]);
    events.push(Event::StepEnded(step(4, npm, 0, Some(38_400))));
    events
}

const BUILD: [&str; 6] = [
    "-----> Building",
    "       fetched 9f3c2ab1 in 12 ms",
    "       [3/3] RUN npm ci",
    "         added 12 packages",
    "         ",
    "         done in 38.4 s",
];

fn npm_failed() -> Reason {
    Reason::new(ReasonCode::StepFailed, "step \"RUN npm ci\" failed with exit code 1")
        .with_lines((1..=30).map(|n| format!("npm error {n}")).collect())
}

#[test]
fn a_push_that_goes_live() {
    let mut story = Story::new(false);
    story.tell(Event::Waits(standing())).all(build());
    story.all([built(), release(false), release(true), live()]);
    let end = [
        "-----> Built in 41.3 s; 2 of 3 steps cached",
        "       image sha256:1b2c3d4e1b2c, 41.2 MB, 312.4 kB new",
        "-----> Release v3 to environment main",
        "       rolling out; it is live when it answers GET /health on port 8080",
        "-----> Live after 1.9 s",
        URL,
    ];
    assert_eq!(story.said(), [&FIRST[..], &BUILD, &end].concat());
    assert_eq!(*story.verdict(), Verdict::Ok);
}

#[test]
fn a_step_that_fails() {
    let mut story = Story::new(false);
    story.all(build()).said();
    story.tell(Event::End(End::Failed(npm_failed())));
    let said = story.said();
    assert_eq!(
        said[..3],
        [
            " !     Build #12 failed: step \"RUN npm ci\" failed with exit code 1",
            " !     Read the lines below, mend the step and push again.",
            " !       npm error 11",
        ]
    );
    assert_eq!(said[21..], [" !       npm error 30", PAGE], "the last twenty lines, then the page");
    story.failed("build #12 failed: step \"RUN npm ci\" failed with exit code 1");
}

#[test]
fn a_release_that_fails() {
    let mut story = Story::new(false);
    story.all([built(), release(true)]).said();
    let reason = Reason::new(ReasonCode::OutOfMemory, "the application used more than 64 MiB of memory");
    story.tell(Event::End(End::ReleaseFailed { version: 3, reason }));
    assert_eq!(
        story.said(),
        [
            " !     Release v3 failed: the application used more than 64 MiB of memory",
            " !     Use less memory, or raise the environment's memory limit.",
            PAGE,
        ]
    );
    story.failed("release v3 failed: the application used more than 64 MiB of memory");
}

#[test]
fn what_is_over_before_it_ends() {
    let over = |end: End| {
        let mut story = Story::new(false);
        story.said();
        story.tell(Event::End(end));
        let Verdict::Failed(text) = story.verdict().clone() else { panic!("{:?}", story.verdict()) };
        (story.said(), text)
    };
    let (said, verdict) = over(End::Superseded { by: Some(13) });
    assert_eq!(
        said,
        [
            " !     Build #12 was superseded by #13: this push is over",
            " !     that one goes on: slipway logs demo 13 -f",
        ]
    );
    assert_eq!(verdict, "build #12 was superseded by #13");
    let (said, verdict) = over(End::Cancelled { by: Some("ada".to_owned()) });
    assert_eq!(
        said,
        [
            " !     Build #12 was cancelled by ada: this push is over",
            " !     push the same commit again to build it after all",
        ]
    );
    assert_eq!(verdict, "build #12 was cancelled by ada");
    assert_eq!(over(End::Cancelled { by: None }).1, "build #12 was cancelled");
    assert_eq!(over(End::ReleaseSuperseded { version: 3, by: Some(4) }).1, "release v3 was superseded by v4");
    assert_eq!(over(End::ReleaseSuperseded { version: 3, by: None }).1, "release v3 was superseded");
    assert_eq!(over(End::Gone).1, "build #12 is gone");
}

#[test]
fn a_push_that_finds_its_build_there() {
    let mut narrator = Narrator::new(about(), false, at(0));
    assert_eq!(
        narrator.begin(true)[0],
        "-----> demo build #12 of 9f3c2ab1 (branch main, environment main): it is there already; this is all of it"
    );
    assert_eq!(
        already_live(&about(), false),
        ["-----> 9f3c2ab1 of demo is live already (build #12, environment main)", URL]
    );
    assert_eq!(already_live(&about(), true), [URL]);
}

#[test]
fn a_quiet_client_hears_the_end_alone() {
    let mut story = Story::new(true);
    story.tell(Event::Waits(Standing { position: 5, ..standing() })).all(build());
    story.tell(Event::DatabaseAway).wait(40).all([built(), release(true)]);
    assert!(story.said().is_empty());
    assert_eq!(story.tell(live()).said(), [URL]);

    let mut story = Story::new(true);
    story.tell(Event::End(End::Failed(npm_failed())));
    assert_eq!(story.said().len(), 23, "all of why it failed");
    let mut story = Story::new(true);
    assert!(story.tell(Event::End(End::Built)).said().is_empty());
    assert_eq!(*story.verdict(), Verdict::Ok);
}

#[test]
fn a_push_that_does_not_wait() {
    let see = "       to see it: slipway logs demo 12 -f, or https://slipway.example/apps/demo/builds/12";
    let mut story = Story::new(false);
    story.all([built(), Event::End(End::Built)]);
    assert_eq!(
        story.said().last_chunk(),
        Some(&["-----> Its release goes on by itself", see].map(str::to_owned))
    );
    assert_eq!(*story.verdict(), Verdict::Ok);
    let mut story = Story::new(false);
    story.all([Event::Waits(standing()), Event::End(End::Queued)]);
    assert_eq!(story.said()[2..], ["-----> Build #12 goes on by itself", see]);
    assert_eq!(*story.verdict(), Verdict::Ok);
}

#[test]
fn a_view_that_ends_before_its_build() {
    let mut story = Story::new(false);
    story.all(build()).said();
    assert_eq!(
        story.narrator.detach(),
        [
            "-----> Detached: build #12 goes on",
            "       To come back: push the same commit again, or: slipway logs demo 12 -f",
        ]
    );
    story.failed("detached: build #12 goes on; push again to re-attach");
    assert!(story.wait(60).said().is_empty(), "nothing follows the last word");
}

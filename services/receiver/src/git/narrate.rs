//! Tells a push's build as text, in the grammar that Heroku's users know: `----->` begins a phase, seven spaces a detail,
//! ` !     ` a problem. Pure: events and the time in, lines out.

mod end;
mod event;
mod queue;
mod steps;
#[cfg(test)]
mod tests;
mod words;

use domain::commit;
use jiff::{SignedDuration, Timestamp};
use store::build::{Build, Image};
use store::queue::standing::Standing;

pub(crate) use self::end::Verdict;
pub(crate) use self::event::{End, Event, Release};
use self::queue::Place;
use self::steps::Steps;
use crate::status::Links;

/// Nobody should ask themselves whether it still runs.
const SILENCE_MAX: SignedDuration = SignedDuration::from_secs(30);

/// What the narrator tells of.
#[derive(Clone, Debug)]
pub(crate) struct About {
    app: String,
    number: i32,
    commit: String,
    branch: String,
    environment: String,
    since: Timestamp,
    /// Where the environment answers.
    url: String,
    /// The build's page.
    page: String,
}

impl About {
    pub(crate) fn new(app: &str, build: &Build, links: &Links) -> About {
        About {
            app: app.to_owned(),
            number: build.number,
            commit: commit::short(&build.commit).to_owned(),
            branch: build.branch.clone(),
            environment: build.environment.clone(),
            since: build.created_at.0,
            url: links.environment(app, &build.environment),
            page: links.build(app, build.number),
        }
    }

    fn come_back(&self) -> String {
        format!("push the same commit again, or: slipway logs {} {} -f", self.app, self.number)
    }
}

/// What is said when a push meets a commit that is live, through the build that made it so.
pub(crate) fn already_live(about: &About, is_quiet: bool) -> Vec<String> {
    let About { app, commit, number, environment, .. } = about;
    let said =
        phase(format!("{commit} of {app} is live already (build #{number}, environment {environment})"));
    let lines = [said, detail(&about.url)];
    lines.into_iter().skip(usize::from(is_quiet)).collect()
}

#[derive(Debug)]
enum Doing {
    Beginning,
    Waiting(Place),
    Building,
    Built { since: Timestamp },
    Releasing { release: Release, since: Timestamp },
}

#[derive(Debug)]
pub(crate) struct Narrator {
    about: About,
    is_quiet: bool,
    spoke_at: Timestamp,
    /// Since when nothing can be read.
    away_since: Option<Timestamp>,
    doing: Doing,
    has_begun: bool,
    steps: Steps,
    verdict: Option<Verdict>,
}

impl Narrator {
    /// One that `is_quiet` says nothing but how it ends.
    pub(crate) fn new(about: About, is_quiet: bool, now: Timestamp) -> Narrator {
        Narrator {
            about,
            is_quiet,
            spoke_at: now,
            away_since: None,
            doing: Doing::Beginning,
            has_begun: false,
            steps: Steps::default(),
            verdict: None,
        }
    }

    /// The first words. `is_attached`: the build is an earlier push's.
    pub(crate) fn begin(&mut self, is_attached: bool) -> Vec<String> {
        if self.is_quiet {
            return Vec::new();
        }
        let About { app, number, commit, branch, environment, .. } = &self.about;
        let there = if is_attached { ": it is there already; this is all of it" } else { "" };
        vec![
            phase(format!(
                "{app} build #{number} of {commit} (branch {branch}, environment {environment}){there}"
            )),
            detail(format!("Ctrl-C leaves it running. To come back: {}", self.about.come_back())),
        ]
    }

    pub(crate) fn tell(&mut self, event: Event, now: Timestamp) -> Vec<String> {
        let is_end = matches!(event, Event::End(_));
        let lines = match event {
            Event::Waits(standing) => self.waits(standing, now),
            Event::Builds => self.builds(),
            Event::StepBegan(step) => self.steps.began(&step, now),
            Event::StepEnded(step) => self.steps.ended(&step),
            Event::Line { step, text } => self.steps.line(step, &text),
            Event::Built { took, image, new_bytes } => {
                self.doing = Doing::Built { since: now };
                self.built(&words::humane(took), image.as_ref(), new_bytes)
            }
            Event::Release(release) => self.release(release, now),
            Event::DatabaseAway => {
                self.away_since = Some(now);
                vec![problem("The database does not answer. The build goes on; this view of it waits.")]
            }
            Event::DatabaseBack => {
                self.away_since = None;
                vec![detail("the database answers again")]
            }
            Event::End(end) => {
                let (lines, verdict) = end::end(&self.about, &end, self.is_quiet);
                self.verdict = Some(verdict);
                lines
            }
        };
        self.spoken(if self.is_quiet && !is_end { Vec::new() } else { lines }, now)
    }

    /// To be called every few seconds: what is to be said when nothing happens.
    pub(crate) fn tick(&mut self, now: Timestamp) -> Vec<String> {
        if self.is_quiet || self.verdict.is_some() {
            return Vec::new();
        }
        if let Doing::Waiting(place) = &mut self.doing {
            let lines = place.tick(now);
            if !lines.is_empty() {
                return self.spoken(lines, now);
            }
        }
        if now.duration_since(self.spoke_at) < SILENCE_MAX {
            return Vec::new();
        }
        let lines = vec![detail(self.still(now))];
        self.spoken(lines, now)
    }

    /// The view ends here, and the build does not.
    pub(crate) fn detach(&mut self) -> Vec<String> {
        let number = self.about.number;
        let text = format!("detached: build #{number} goes on; push again to re-attach");
        self.verdict = Some(Verdict::Failed(text));
        vec![
            phase(format!("Detached: build #{number} goes on")),
            detail(format!("To come back: {}", self.about.come_back())),
        ]
    }

    /// There is one when the last word was said.
    pub(crate) fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref()
    }

    fn spoken(&mut self, lines: Vec<String>, now: Timestamp) -> Vec<String> {
        if !lines.is_empty() {
            self.spoke_at = now;
        }
        lines
    }

    /// Later attempts say themselves that they start over.
    fn builds(&mut self) -> Vec<String> {
        self.doing = Doing::Building;
        if std::mem::replace(&mut self.has_begun, true) { Vec::new() } else { vec![phase("Building")] }
    }

    fn waits(&mut self, standing: Standing, now: Timestamp) -> Vec<String> {
        if let Doing::Waiting(place) = &mut self.doing
            && place.attempt() == standing.attempt
        {
            return place.moves(standing, now);
        }
        let mut lines = match &standing.error {
            // The build's own log has mostly said it; only a builder that was lost says nothing.
            Some(error) if standing.attempt > 0 && !self.steps.has_said(error) => {
                queue::retry(&standing, error)
            }
            _ => Vec::new(),
        };
        let since = if self.has_begun { now } else { self.about.since };
        let (place, told) = Place::new(&self.about.app, standing, since, now);
        lines.extend(told);
        self.doing = Doing::Waiting(place);
        lines
    }

    fn built(&self, took: &str, image: Option<&Image>, new_bytes: Option<i64>) -> Vec<String> {
        let cached = self.steps.cached().map(|cached| format!("; {cached}")).unwrap_or_default();
        let mut lines = vec![phase(format!("Built in {took}{cached}"))];
        let new = new_bytes.map(|bytes| format!(", {} new", words::size(bytes))).unwrap_or_default();
        lines.extend(image.map(|image| {
            let (digest, size) = (words::short_digest(&image.digest), words::size(image.size_bytes));
            detail(format!("image {digest}, {size}{new}"))
        }));
        lines
    }

    fn release(&mut self, release: Release, now: Timestamp) -> Vec<String> {
        let Release { version, is_rolling, .. } = &release;
        let mut lines = Vec::new();
        if !matches!(self.doing, Doing::Releasing { .. }) {
            lines.push(phase(format!("Release v{version} to environment {}", self.about.environment)));
        }
        if *is_rolling {
            lines.push(detail(format!("rolling out; it is live when {}", answer(&release))));
        }
        self.doing = Doing::Releasing { release, since: now };
        lines
    }

    fn still(&self, now: Timestamp) -> String {
        let age = |since| words::age(since, now);
        if let Some(since) = self.away_since {
            return format!("still waiting for the database ({})", age(since));
        }
        match &self.doing {
            Doing::Beginning => {
                format!("still waiting for build #{} ({})", self.about.number, age(self.about.since))
            }
            Doing::Waiting(place) => place.still(now),
            Doing::Building => match self.steps.running() {
                Some((names, since)) => format!("still running: {names} ({})", age(since)),
                None => format!("still building ({})", age(self.about.since)),
            },
            Doing::Built { since } => format!("still waiting for its release ({})", age(*since)),
            Doing::Releasing { release, since } if release.is_rolling => {
                format!(
                    "still rolling out v{}; it is live when {} ({})",
                    release.version,
                    answer(release),
                    age(*since)
                )
            }
            Doing::Releasing { release, since } => {
                format!("v{} still waits for its turn to be rolled out ({})", release.version, age(*since))
            }
        }
    }
}

/// What makes a release live.
fn answer(release: &Release) -> String {
    format!("it answers GET {} on port {}", words::line(&release.health_path, 80), release.port)
}

fn phase(text: impl AsRef<str>) -> String {
    format!("-----> {}", text.as_ref())
}

fn detail(text: impl AsRef<str>) -> String {
    format!("       {}", text.as_ref())
}

fn problem(text: impl AsRef<str>) -> String {
    format!(" !     {}", text.as_ref())
}

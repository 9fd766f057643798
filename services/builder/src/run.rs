//! One claimed job from its claim to its end: the attempt, its log beside it, and one transaction that ends it.

use std::time::Duration;

use anyhow::Result;
use domain::reason::{Reason, ReasonCode};
use store::app::App;
use store::build::Build;
use store::queue::Job;
use store::setting::Settings;
use store::worker::{Held, Stop};
use vault::OpenError;

use crate::cache::{self, Made};
use crate::image::Image;
use crate::journal::{self, Log};
use crate::outcome::{self, Decision};
use crate::{Builder, attempt, end, vitals};

/// A build that takes longer is ended.
const DEADLINE: Duration = Duration::from_secs(30 * 60);

/// What the job is about, as the database has it now.
pub(crate) struct Subject {
    pub(crate) build: Build,
    pub(crate) app: App,
    /// What its steps are given.
    pub(crate) settings: Settings,
}

/// How an attempt ended.
pub(crate) enum Ended {
    Built(Image),
    Failed(Reason),
    Again { error: String, delay: Duration },
    Stopped(Stop),
}

pub(crate) async fn run(builder: &Builder, held: &Held) -> Result<()> {
    let job = &held.job;
    let Some(mut subject) = load(builder, job).await? else {
        return end::without_subject(&builder.db, job).await;
    };
    let _active = builder.numbers.active();
    let _building = builder.exports.building(subject.app.id);
    match settings(builder, &subject).await? {
        Ok(settings) => subject.settings = settings,
        Err(reason) => {
            return end::end(&builder.db, &builder.images, job, &subject, Ended::Failed(reason)).await;
        }
    }
    let (log, events) = journal::open(subject.settings.redactor());
    let attempt = async {
        let (ended, made) = until_stopped(builder, held, &subject, &log).await;
        say_redacted(&log).await;
        log.say(parting_words(&ended, job)).await;
        drop(log);
        (ended, made)
    };
    let writing = journal::write(&builder.db, job, &subject.build, builder.log_max_bytes, events);
    let ((ended, made), written) = tokio::join!(attempt, writing);
    written?;
    end::end(&builder.db, &builder.images, job, &subject, ended).await?;
    let succeeded = vitals::count(builder, subject.build.id).await;
    if succeeded {
        builder.built.notify_one();
    }
    if let Some(made) = made {
        cache::keep(builder, &subject, made, succeeded).await;
    }
    Ok(())
}

/// `None`: the build has ended already, or its application was deleted.
async fn load(builder: &Builder, job: &Job) -> Result<Option<Subject>> {
    let build = store::build::get(&builder.db, job.subject).await?.filter(|it| !it.state.0.is_final());
    let Some(build) = build else { return Ok(None) };
    let app = store::app::get(&builder.db, build.app_id).await?;
    Ok(app.map(|app| Subject { build, app, settings: Settings::default() }))
}

/// Secrets that cannot be opened fail the build: without them it would do something else than it was meant to.
async fn settings(builder: &Builder, subject: &Subject) -> Result<Result<Settings, Reason>> {
    let Subject { build, app, .. } = subject;
    let given = store::setting::of_build(&builder.db, &builder.vault, app.id, &build.environment).await;
    match given {
        Err(error) if error.downcast_ref::<OpenError>().is_some() => {
            Ok(Err(Reason::new(ReasonCode::Internal, format!("{error:#}"))))
        }
        given => Ok(Ok(given?)),
    }
}

/// What was taken out of the log, and what could not be looked for.
async fn say_redacted(log: &Log) {
    for name in log.redactor().gaps() {
        log.say(format!("the secret {name} is too large to be searched for in every form in this log")).await;
    }
    for (name, count) in log.redactor().counts() {
        log.say(format!("the secret {name} was printed and replaced {count} times")).await;
    }
}

async fn until_stopped(
    builder: &Builder,
    held: &Held,
    subject: &Subject,
    log: &Log,
) -> (Ended, Option<Made>) {
    let job = &held.job;
    if job.attempt > job.attempt_max {
        let message = format!("the builder was lost in each of {} attempts", job.attempt_max);
        return (Ended::Failed(Reason::new(ReasonCode::LeaseLost, message)), None);
    }
    let attempt = tokio::time::timeout(DEADLINE, Box::pin(attempt::run(builder, job, subject, log)));
    let result = tokio::select! {
        stop = held.stopped() => return (Ended::Stopped(stop), None),
        result = attempt => result,
    };
    let reason = match result {
        Ok(Ok(Some((image, made)))) => return (Ended::Built(image), made),
        Ok(Ok(None)) => return (Ended::Stopped(Stop::Cancelled), None),
        Ok(Err(reason)) => reason,
        Err(_) => {
            let message = format!("the build did not end within {} minutes", DEADLINE.as_secs() / 60);
            Reason::new(ReasonCode::BuildTimeout, message)
        }
    };
    (without_image(builder, job, log, reason).await, None)
}

async fn without_image(builder: &Builder, job: &Job, log: &Log, mut reason: Reason) -> Ended {
    reason.message = log.redactor().redact(&reason.message).into_owned();
    let code = reason.code;
    // BuildKit passes on that the registry refused, and not for how long.
    let asked = if code == ReasonCode::RegistryUnavailable {
        builder.images.asks_to_wait(&builder.http).await
    } else {
        None
    };
    match outcome::decide(reason, job.attempt, job.attempt_max, rand::random()) {
        Decision::Fail(reason) => Ended::Failed(reason),
        Decision::Retry { error, delay } => {
            builder.numbers.retried(code.as_str());
            Ended::Again { error, delay: delay.max(asked.unwrap_or_default()) }
        }
    }
}

/// The last line of an attempt.
fn parting_words(ended: &Ended, job: &Job) -> String {
    match ended {
        Ended::Built(image) => format!("pushed {}", image.reference()),
        Ended::Failed(reason) => format!("failed: {}", reason.message),
        Ended::Again { error, delay } => outcome::retry_line(error, *delay, job.attempt + 1, job.attempt_max),
        Ended::Stopped(Stop::Cancelled) => "stopped: this build is no longer wanted".to_owned(),
        Ended::Stopped(Stop::Shutdown) => {
            "this builder shuts down; the build starts over on another one".to_owned()
        }
        Ended::Stopped(Stop::Lost) => "this builder lost the build".to_owned(),
    }
}

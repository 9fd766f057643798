//! The straight line of one roll-out. Each step can be done again: after a crash the next deployer starts at the top.

use std::time::Duration;

use anyhow::{Context as _, Result};
use domain::reason::{Fault, Reason, ReasonCode};
use jiff::{SignedDuration, Timestamp};
use manifest::Object;
use manifest::judge::Expected;
use manifest::release::{Release, differ_in_image_alone, render};
use store::queue::{Job, Outcome};
use store::worker::{Held, Stop};
use tokio::time::Instant;

use crate::fault::Halt;
use crate::subject::{self, Ending, Subject};
use crate::{Deployer, apply, ensure, gate, restore, wait, watch};

/// How long one attempt bears a cluster that does not answer. Longer than a restart of a control plane takes.
const CLUSTER_PATIENCE: Duration = Duration::from_secs(600);
const CLUSTER_STEP_MAX: Duration = Duration::from_secs(5);

pub(crate) async fn handle(deployer: &Deployer, held: &Held, subject: &Subject) -> Result<()> {
    let job = &held.job;
    if subject.release.state.0.is_final() {
        return subject::finish(&deployer.db, job, Outcome::Done).await;
    }
    if job.attempt > job.attempt_max {
        let lost = Reason::new(ReasonCode::LeaseLost, "the deployer was lost in each attempt to roll it out");
        return fail(deployer, job, subject, lost).await;
    }
    match roll_through_outages(deployer, held, subject).await {
        Ok(Verdict::Answers) => live(deployer, job, subject).await,
        Ok(Verdict::Ended) => subject::finish(&deployer.db, job, Outcome::Done).await,
        Ok(Verdict::Stopped(stop)) => stopped(deployer, job, subject, stop).await,
        Err(Halt::Error(error)) => Err(error),
        Err(Halt::Reason(reason)) if reason.fault() == Fault::Platform && !job.is_last_attempt() => {
            tracing::warn!(%subject.release.id, "the platform is at fault, trying again: {}", reason.message);
            let delay = Duration::from_secs(2 << job.attempt.clamp(0, 4));
            subject::finish(&deployer.db, job, Outcome::Retry { error: &reason.message, delay }).await
        }
        Err(Halt::Reason(reason)) => fail(deployer, job, subject, reason).await,
    }
}

enum Verdict {
    /// Through every router.
    Answers,
    /// By somebody else, or the lease was lost.
    Ended,
    Stopped(Stop),
}

/// A cluster that is away is waited for here: the attempts of a job would be used up too soon.
async fn roll_through_outages(deployer: &Deployer, held: &Held, subject: &Subject) -> Result<Verdict, Halt> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(250);
    loop {
        match roll(deployer, held, subject).await {
            Err(Halt::Reason(reason))
                if reason.code == ReasonCode::ClusterUnavailable && started.elapsed() < CLUSTER_PATIENCE =>
            {
                tracing::warn!(%subject.release.id, "waiting for the cluster: {}", reason.message);
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    stop = held.stopped() => return Ok(Verdict::Stopped(stop)),
                }
                pause = (pause * 2).min(CLUSTER_STEP_MAX);
            }
            other => return other,
        }
    }
}

/// Only the wait can be stopped: an apply that was let go half-way could arrive after that of a newer release.
async fn roll(deployer: &Deployer, held: &Held, subject: &Subject) -> Result<Verdict, Halt> {
    let (client, release) = (&deployer.client, &subject.release);
    let objects = objects(deployer, subject)?;
    if !subject::start(&deployer.db, &held.job, release, &objects).await? {
        return Ok(Verdict::Ended);
    }
    ensure::ensure(deployer, subject.place()).await?;
    if !resembles_live(deployer, subject, &objects).await? {
        apply::dry_run(client, &objects).await?;
    }

    let rings = deployer.rings.subscribe();
    let watch = watch::start(client, &subject.environment.namespace, release.id);
    let started = Timestamp::now();
    let generation = apply::apply_release(client, &objects).await?;
    tracing::info!(%release.id, version = release.version, generation, "applied");
    let expected = Expected {
        release: release.id,
        generation,
        started,
        deadline: SignedDuration::from_secs(deployer.settings.rollout_seconds.into()),
        port: port(subject)?,
        health_path: release.health_path.clone(),
    };
    tokio::select! {
        answers = wait::wait(deployer, &subject.environment.namespace, &expected, watch, rings) => {
            answers.map(|()| Verdict::Answers)
        }
        stop = held.stopped() => Ok(Verdict::Stopped(stop)),
    }
}

/// What differs from the live release in its image alone was admitted before: asking again would only cost time.
async fn resembles_live(deployer: &Deployer, subject: &Subject, objects: &[Object]) -> Result<bool> {
    let live = store::release::live_of(&deployer.db, subject.environment.id).await?;
    let manifests = live.and_then(|live| live.manifests).and_then(|it| serde_json::from_value(it).ok());
    Ok(manifests.is_some_and(|live: Vec<Object>| differ_in_image_alone(&live, objects)))
}

/// What was rendered once stays, so that an attempt after an upgrade of the deployer applies the same.
fn objects(deployer: &Deployer, subject: &Subject) -> Result<Vec<Object>, Halt> {
    if let Some(stored) = &subject.release.manifests {
        let stored =
            serde_json::from_value(stored.clone()).context("reading the release's stored manifests")?;
        return Ok(stored);
    }
    let release = Release {
        id: subject.release.id,
        version: subject.release.version,
        image: &subject.release.image,
        port: port(subject)?,
        health_path: &subject.release.health_path,
    };
    Ok(render(subject.place(), &release, deployer.settings))
}

fn port(subject: &Subject) -> Result<u16> {
    u16::try_from(subject.release.port).context("the release's port is not between 1 and 65535")
}

/// The gate opens beside the database's work: it only lets the old pod go.
async fn live(deployer: &Deployer, job: &Job, subject: &Subject) -> Result<()> {
    let (ended, opened) = tokio::join!(
        subject::end(&deployer.db, job, &subject.release, Ending::Live),
        gate::open_at_roll_out(deployer, &subject.release),
    );
    if let Err(error) = opened {
        tracing::warn!(%subject.release.id, "the gatekeeper will open the readiness gate: {error:#}");
    }
    ended
}

async fn fail(deployer: &Deployer, job: &Job, subject: &Subject, reason: Reason) -> Result<()> {
    if !subject::holds(&deployer.db, job).await? {
        return Ok(());
    }
    match restore::restore(deployer, subject).await {
        Ok(()) => {}
        Err(Halt::Error(error)) => return Err(error),
        Err(Halt::Reason(trouble)) if job.attempt < job.attempt_max => {
            anyhow::bail!("putting the environment back: {}", trouble.message)
        }
        Err(Halt::Reason(trouble)) => {
            tracing::error!(%subject.release.id, "not put back: {}", trouble.message);
        }
    }
    subject::end(&deployer.db, job, &subject.release, Ending::Failed(&reason)).await
}

/// Nothing is undone: what comes next applies over it.
async fn stopped(deployer: &Deployer, job: &Job, subject: &Subject, stop: Stop) -> Result<()> {
    match stop {
        Stop::Cancelled => subject::end(&deployer.db, job, &subject.release, Ending::Superseded).await,
        Stop::Shutdown => subject::finish(&deployer.db, job, Outcome::HandBack).await,
        Stop::Lost => Ok(()),
    }
}

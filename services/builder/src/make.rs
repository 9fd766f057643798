//! Has BuildKit make the image: a daemon, a session of the application, the solve, and a look at what was pushed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use buildkit::attest::{self, Attested};
use buildkit::pool::{self, Picked};
use buildkit::session::{Services, Session};
use buildkit::solve::{self, Push, SolveRequest};
use buildkit::{Names, SolveError};
use domain::commit::Commit;
use domain::reason::{Reason, ReasonCode};
use host::metrics::builds::Phase;
use llb::{Definition, Inputs};
use plan::{Plan, rewrite};
use store::cache::Known;
use uuid::Uuid;

use crate::Builder;
use crate::image::Image;
use crate::input::Input;
use crate::journal::Log;
use crate::run::Subject;
use crate::sessions::Lent;

/// How long an attempt waits for a BuildKit that does not answer: a restart of it takes less.
const PATIENCE: Duration = Duration::from_secs(60);
/// So long nobody needs to know that it waits.
const QUIET: Duration = Duration::from_secs(1);

/// What is made of which commit, and how.
#[derive(Clone, Copy)]
pub(crate) struct Order<'a> {
    pub(crate) subject: &'a Subject,
    pub(crate) commit: &'a Commit,
    pub(crate) plan: &'a Plan,
    pub(crate) input: &'a Input,
    /// What a BuildKit may import that has not built the application.
    pub(crate) known: Option<&'a Known>,
    /// Of the job, under which this is made.
    pub(crate) lease: Uuid,
}

/// Where an image was made.
pub(crate) struct At {
    pub(crate) daemon: String,
    /// What the daemon keeps is known by this id.
    pub(crate) worker: Option<String>,
    /// From a cache of the registry, as far as that has it.
    pub(crate) is_imported: bool,
}

pub(crate) async fn make(builder: &Builder, order: Order<'_>, log: &Log) -> Result<(Image, At), Reason> {
    // What BuildKit keeps of an application between builds, its files and its cache mounts, carries this key.
    let app_key = order.subject.app.id.to_string();
    let (daemon, lent) = lend(builder, &app_key, log).await?;
    let session = &lent.session;
    session.serve(Services {
        sources: order.input.sources(),
        logins: builder.images.logins(),
        secrets: order.subject.settings.secrets.clone(),
    });
    let repository = builder.images.repository(&order.subject.app.name);
    let worker = daemon.worker();
    let import = order.known.zip(worker.as_deref()).and_then(|(known, worker)| known.import(worker));
    let is_imported = import.is_some();
    if is_imported {
        builder.numbers.cache_imported();
        log.say(format!(
            "{} has built little of this: the cache of the default branch is imported from the registry",
            daemon.name()
        ))
        .await;
    }
    let request =
        SolveRequest { import: import.map(str::to_owned), ..request(&order, &app_key, session, &repository) };
    let parts = order.input.parts.clone();
    let names = Names::new(move |name| rewrite::original_name(name, &parts));
    let solving = Instant::now();
    let solved = solve::solve(daemon.channel(), request, log.redactor(), names, log.events()).await;
    builder.numbers.sent(order.input.context.sent());
    let lacking = session.lacking();
    for why in &lacking {
        log.say(why.clone()).await;
    }
    match solved {
        Ok(solved) => {
            builder.numbers.phase(Phase::Solve, solving.elapsed());
            daemon.succeeded();
            lent.give_back();
            let asking = Instant::now();
            let image = builder.images.confirm(repository, &solved.digest).await?;
            builder.numbers.phase(Phase::Confirm, asking.elapsed());
            Ok((image, At { daemon: daemon.name().to_owned(), worker, is_imported }))
        }
        Err(error) => {
            drop(lent);
            Err(for_lack_of(&lacking, failed(builder, &order, &daemon, &error, log).await))
        }
    }
}

/// A session at a daemon. One that went away since it was last asked is not the end: another one is well, or it comes back.
async fn lend<'b>(builder: &'b Builder, app_key: &str, log: &Log) -> Result<(Picked<'b>, Lent<'b>), Reason> {
    let started = Instant::now();
    loop {
        let daemon = daemon(builder, app_key, log).await?;
        match builder.sessions.lend(daemon.channel(), daemon.name(), app_key).await {
            Ok(lent) => return Ok((daemon, lent)),
            Err(error @ SolveError::Unavailable { .. }) if started.elapsed() < PATIENCE => {
                daemon.failed(&error).await;
            }
            Err(error) => return Err(buildkit::reason(&error)),
        }
    }
}

/// The application's daemon, or another one in its place.
async fn daemon<'b>(builder: &'b Builder, app_key: &str, log: &Log) -> Result<Picked<'b>, Reason> {
    let picking = pool::pick(&builder.pool, app_key, PATIENCE);
    tokio::pin!(picking);
    let picked = match tokio::time::timeout(QUIET, &mut picking).await {
        Ok(picked) => picked,
        Err(_) => {
            log.say(format!("BuildKit does not answer; waiting {} s for it", PATIENCE.as_secs())).await;
            picking.await
        }
    };
    let picked = picked.map_err(|error| buildkit::reason(&error))?;
    if let Some(own) = picked.instead_of() {
        log.say(format!("{own} is away or full: building at {}, where less is cached", picked.name())).await;
    }
    Ok(picked)
}

fn request(order: &Order<'_>, app_key: &str, session: &Session, repository: &str) -> SolveRequest {
    let Order { subject, commit, plan, input, lease, .. } = *order;
    let build = &subject.build;
    let mut frontend_attrs = attest::attributes(&Attested {
        commit: commit.as_str(),
        repository: subject.app.forge.as_ref().map(|forge| forge.repo_url.as_str()),
        app: &subject.app.name,
        build: build.number,
        plan: &plan.why,
    });
    frontend_attrs.extend(attributes(input, app_key));
    if build.no_cache {
        frontend_attrs.insert("no-cache".to_owned(), String::new());
    }
    SolveRequest {
        reference: Uuid::new_v4().simple().to_string(),
        session_id: session.id().to_owned(),
        inputs: inputs(input, app_key, session.id()),
        frontend_attrs,
        import: None,
        // A tag that names the lease is moved by nobody else: BuildKit may go on for a builder that has lost the build.
        push: Push::Image(format!("{repository}:{commit}-{:.8}", lease.simple())),
    }
}

/// What the frontend is told of an input. What a build makes follows from this and [`inputs`].
pub(crate) fn attributes(input: &Input, app_key: &str) -> BTreeMap<String, String> {
    let args = input.args.iter().map(|(name, value)| (format!("build-arg:{name}"), value.clone()));
    let mut attributes: BTreeMap<String, String> = args.collect();
    attributes.insert("build-arg:BUILDKIT_CACHE_MOUNT_NS".to_owned(), app_key.to_owned());
    if let Some(target) = &input.target {
        attributes.insert("target".to_owned(), target.clone());
    }
    let named = input.pieces.iter().filter_map(|piece| piece.context.clone());
    let secrets = (!input.secret_keys.is_empty()).then(|| rewrite::SECRETS.to_owned());
    for name in named.chain(secrets) {
        attributes.insert(format!("context:{name}"), format!("input:{name}"));
    }
    attributes
}

pub(crate) fn inputs(input: &Input, app_key: &str, session_id: &str) -> BTreeMap<String, Definition> {
    let files: &BTreeMap<String, Vec<u8>> = &input.secret_keys;
    llb::dockerfile_inputs(&Inputs {
        app_key,
        session_id,
        pieces: &input.pieces,
        dockerfile: &input.dockerfile.bytes,
        files: (!files.is_empty()).then_some((rewrite::SECRETS, files)),
    })
}

/// Why the solve failed. What its daemon or our mirror had to do with it is dealt with on the way.
async fn failed(
    builder: &Builder,
    order: &Order<'_>,
    daemon: &Picked<'_>,
    error: &SolveError,
    log: &Log,
) -> Reason {
    if order.input.context.is_broken() {
        let mirror = builder.mirror(order.subject.app.id);
        if let Err(error) = gitrepo::discard(&mirror).await {
            return Reason::from(&error);
        }
        return Reason::new(ReasonCode::Internal, "an object of the repository's mirror could not be read");
    }
    let worker = daemon.worker();
    if daemon.failed(error).await {
        if let Some(worker) = worker
            && let Err(error) = store::cache::forget(&builder.db, &worker).await
        {
            tracing::debug!("forgetting what BuildKit built: {error:#}");
        }
        log.say(
            "the cache of BuildKit was damaged; it is set aside, and everything is built anew".to_owned(),
        )
        .await;
    }
    order.input.dockerfile.in_original(buildkit::reason(error))
}

/// A step that failed without what it mounts most likely failed for the lack of it, and cannot know that itself.
fn for_lack_of(lacking: &[String], mut reason: Reason) -> Reason {
    if reason.code == ReasonCode::StepFailed {
        for why in lacking {
            if !reason.message.contains(why) {
                reason.message = format!("{}; {why}", reason.message);
            }
        }
    }
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_failed_says_what_it_ran_without() {
        let lacking = ["no key a".to_owned(), "no key b".to_owned()];
        let said = |code, message: &str| for_lack_of(&lacking, Reason::new(code, message)).message;
        let told = said(ReasonCode::StepFailed, "RUN git clone failed: exit code 128");
        assert_eq!(told, "RUN git clone failed: exit code 128; no key a; no key b");
        let told = said(ReasonCode::StepFailed, "RUN git clone failed: no key a");
        assert_eq!(told, "RUN git clone failed: no key a; no key b", "BuildKit told of one");
        assert_eq!(said(ReasonCode::BuildkitUnavailable, "it is away"), "it is away");
    }
}

//! The way of one attempt: fetch, plan, session, solve, confirm. Dropping its future stops all of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use buildkit::SolveError;
use buildkit::session::{self, Services, Session};
use buildkit::solve::{self, SolveRequest};
use domain::commit::Commit;
use domain::reason::{Reason, ReasonCode};
use gitrepo::{Credentials, GitError, Remote, Snapshot};
use plan::{Plan, Unplannable};
use sqlx::PgPool;
use store::app::App;
use store::bell::{self, Channel};
use store::build::Build;
use store::queue::{self, Job};
use uuid::Uuid;

use crate::Builder;
use crate::image::Image;
use crate::journal::Log;
use crate::run::Subject;
use crate::source::CommitSource;

/// How long an attempt waits for a BuildKit that does not answer: a restart of it takes less.
const BUILDKIT_PATIENCE: Duration = Duration::from_secs(60);
const BUILDKIT_POLL: Duration = Duration::from_millis(500);
/// The user name that the receiver expects beside a lease.
const BUILDER: &str = "build";
/// So many older builds are looked at for ones that lost their job.
const OLDER_MAX: i64 = 50;

/// `None`: the build was ended by somebody else, or the lease is lost.
pub(crate) async fn run(
    builder: &Builder,
    job: &Job,
    subject: &Subject,
    log: &Log,
) -> Result<Option<Image>, Reason> {
    let Subject { build, app } = subject;
    let commit = Commit::parse(&build.commit).map_err(|error| internal(&error.into()))?;
    let started = Instant::now();
    let mirror = builder.mirrors.join(format!("{}.git", app.id));
    let fetching = async {
        let remote = remote(builder, app, job)?;
        gitrepo::fetch(&mirror, &remote, &commit, &build.branch).await.map_err(|error| Reason::from(&error))
    };
    let (began, fetched) = tokio::join!(begin(&builder.db, job, build, log), fetching);
    if !began.map_err(|error| internal(&error))? {
        return Ok(None);
    }
    let snapshot = fetched?;
    log.say(format!("fetched {} in {} ms", commit.short(), started.elapsed().as_millis())).await;

    let describing = describe(&builder.db, job, build, snapshot.subject.clone(), snapshot.author.clone());
    let planning = plan_and_filter(snapshot, app.dockerfile.clone());
    let (described, planned) = tokio::join!(describing, planning);
    described.map_err(|error| internal(&error))?;
    let (plan, source) = planned?;
    log.say(plan.why.clone()).await;

    let source = Arc::new(source);
    let solved = solve(builder, subject, &commit, &plan, source.clone(), log).await;
    if source.is_broken() {
        gitrepo::discard(&mirror).await.map_err(|error| Reason::from(&error))?;
        return Err(Reason::new(
            ReasonCode::Internal,
            "an object of the repository's mirror could not be read",
        ));
    }
    let (repository, digest) = solved?;
    let image = builder.images.confirm(repository, digest).await?;
    log.say(format!("built in {} ms", started.elapsed().as_millis())).await;
    Ok(Some(image))
}

/// Records that the attempt began. `false`: there is nothing to do any more.
pub(crate) async fn begin(db: &PgPool, job: &Job, build: &Build, log: &Log) -> Result<bool> {
    let mut tx = db.begin().await?;
    if !queue::holds(&mut tx, job).await? || !store::build::start(&mut tx, build.id, job.attempt).await? {
        return Ok(false);
    }
    tx.commit().await?;
    bell::ring(db, Channel::Build, &build.id.to_string()).await;
    if build.started_at.is_some() {
        log.say(format!("starting over (attempt {} of {})", job.attempt, job.attempt_max)).await;
    }
    stop_older(db, build).await?;
    Ok(true)
}

/// A newer build that takes over the lane of one whose builder died leaves that one without a job. Builds of an
/// application run one at a time, so every older one of this branch that has not ended is such a one.
async fn stop_older(db: &PgPool, build: &Build) -> Result<()> {
    let older = store::build::list(db, build.app_id, Some(build.number), OLDER_MAX).await?;
    for older in older.iter().filter(|it| it.branch_id == build.branch_id && !it.state.0.is_final()) {
        let mut tx = db.begin().await?;
        if store::build::stop(&mut tx, older).await? {
            store::push::enqueue_report(&mut tx, older.id).await?;
        }
        tx.commit().await?;
    }
    Ok(())
}

async fn describe(db: &PgPool, job: &Job, build: &Build, subject: String, author: String) -> Result<()> {
    let mut tx = db.begin().await?;
    if queue::holds(&mut tx, job).await? {
        store::build::describe(&mut tx, build.id, &subject, &author).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// The application's forge, or our own receiver, which knows a builder by the lease it holds.
fn remote(builder: &Builder, app: &App, job: &Job) -> Result<Remote, Reason> {
    let remote = match &app.forge {
        Some(forge) => {
            let login = forge.token.as_deref().map(|token| Credentials::new(forge.user.as_deref(), token));
            Remote::new(&forge.repo_url, login)
        }
        None => {
            let url = format!("{}/{}.git", builder.git_url.as_str().trim_end_matches('/'), app.name);
            Remote::new(&url, Some(Credentials::new(Some(BUILDER), &job.lease.to_string())))
        }
    };
    remote.map_err(|error| Reason::new(ReasonCode::RepositoryRefused, error.to_string()))
}

async fn plan_and_filter(snapshot: Snapshot, dockerfile: String) -> Result<(Plan, CommitSource), Reason> {
    let work = move || {
        let plan = make_plan(&snapshot, &dockerfile)?;
        let source = CommitSource::new(snapshot, &plan.ignore);
        Ok((plan, source))
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| internal(&error.into()))?
}

fn make_plan(snapshot: &Snapshot, dockerfile: &str) -> Result<Plan, Reason> {
    let read = |path: &str| snapshot.file(path).map_err(|error| Reason::from(&GitError::Other(error)));
    let located = plan::locate(snapshot.tree(), dockerfile).map_err(Reason::from)?;
    let dockerfile = read(&located.dockerfile)?;
    let dockerignore = located.dockerignore.as_deref().map(read).transpose()?;
    plan::plan(&located, &dockerfile, dockerignore.as_deref()).map_err(|error: Unplannable| error.into())
}

/// Gives the repository and the digest that BuildKit pushed.
async fn solve(
    builder: &Builder,
    Subject { build, app }: &Subject,
    commit: &Commit,
    plan: &Plan,
    source: Arc<CommitSource>,
    log: &Log,
) -> Result<(String, String), Reason> {
    // What BuildKit keeps of an application between builds, its files and its cache mounts, carries this key.
    let app_key = app.id.to_string();
    let session = open_session(builder, &app_key, source, log).await?;
    let repository = builder.images.repository(&app.name);
    let mut frontend_attrs =
        BTreeMap::from([("build-arg:BUILDKIT_CACHE_MOUNT_NS".to_owned(), app_key.clone())]);
    if build.no_cache {
        frontend_attrs.insert("no-cache".to_owned(), String::new());
    }
    let request = SolveRequest {
        reference: Uuid::new_v4().simple().to_string(),
        session_id: session.id().to_owned(),
        inputs: llb::dockerfile_inputs(&app_key, session.id(), &plan.dockerfile_bytes),
        frontend_attrs,
        image: format!("{repository}:{commit}"),
    };
    let solved = solve::solve(&builder.channel, request, log.events()).await;
    solved.map(|solved| (repository, solved.digest)).map_err(|error| buildkit::reason(&error))
}

async fn open_session(
    builder: &Builder,
    app_key: &str,
    source: Arc<CommitSource>,
    log: &Log,
) -> Result<Session, Reason> {
    let started = Instant::now();
    let mut said = false;
    loop {
        let services = Services { source: source.clone(), logins: builder.images.logins() };
        match session::open(&builder.channel, app_key, services).await {
            Err(SolveError::Unavailable { .. }) if started.elapsed() < BUILDKIT_PATIENCE => {}
            opened => return opened.map_err(|error| buildkit::reason(&error)),
        }
        if !said {
            log.say(format!("BuildKit does not answer; waiting {} s for it", BUILDKIT_PATIENCE.as_secs()))
                .await;
            said = true;
        }
        tokio::time::sleep(BUILDKIT_POLL).await;
    }
}

fn internal(error: &anyhow::Error) -> Reason {
    Reason::new(ReasonCode::Internal, format!("{error:#}"))
}

//! What goes on after a push was read, or is given to git, in a task of its own: has it taken, has it accepted, shows its
//! build and reports. A client that goes away ends nothing but the view.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use domain::commit::Commit;
use domain::job::JobKind;
use domain::push_options::PushOptions;
use domain::state::PushState;
use gitrepo::bare::{Repository, Staged, pin_name};
use gitwire::report::Verdict;
use gitwire::request::Update;
use host::trace::parent::Parent;
use store::app::App;
use tokio::process::Child;
use uuid::Uuid;

use super::accept::{self, Settled};
use super::child::{self, Answer};
use super::policy::Action;
use super::take::Taker;
use super::wire::Wire;
use super::{Git, stream};

/// How often an intent is renewed while it is being received, and how often the database is asked again when it is away.
const RENEW_EVERY: Duration = Duration::from_secs(15);
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// A push that is being received.
#[derive(Debug)]
pub(super) struct Push {
    pub(super) git: Arc<Git>,
    pub(super) app: App,
    pub(super) repository: Repository,
    pub(super) pushed: Pushed,
    pub(super) pusher: String,
    pub(super) options: PushOptions,
    pub(super) trace_parent: Option<Parent>,
}

/// What a push asks for; the branch that is built has the push's id.
#[derive(Debug)]
pub(super) struct Pushed(Vec<(Uuid, Action)>);

impl Pushed {
    pub(super) fn new(actions: Vec<Action>) -> Pushed {
        Pushed(actions.into_iter().map(|action| (Uuid::now_v7(), action)).collect())
    }

    pub(super) fn build(&self) -> Option<(Uuid, &str, Option<&Commit>, &Commit)> {
        self.0.iter().find_map(|(id, action)| match action {
            Action::Build { branch, old, new } => Some((*id, branch.as_str(), old.as_ref(), new)),
            Action::StoreTag(_) | Action::DeleteTag(_) | Action::DeleteBranch { .. } => None,
        })
    }

    /// What git is told.
    pub(super) fn updates(&self) -> Vec<Update> {
        let update = |(id, action): &(Uuid, Action)| match action {
            Action::Build { branch, new, .. } => {
                Some(Update { old: None, new: Some(new.clone()), name: pin_name(*id, branch) })
            }
            Action::StoreTag(update) | Action::DeleteTag(update) => Some(update.clone()),
            Action::DeleteBranch { .. } => None,
        };
        self.0.iter().filter_map(update).collect()
    }
}

pub(super) async fn settle(push: Push, taker: Option<Taker>, mut wire: Wire) {
    let is_taken = taker.is_some();
    let answer = match taker {
        Some(Taker::Here(staged)) => pin(&push, staged).await,
        Some(Taker::Git(child)) => wait(&push, child).await,
        None => Answer::default(),
    };
    if is_taken && answer.is_broken() {
        clean(&push);
    }
    let mut verdicts = Vec::new();
    let mut shown = None;
    for (id, action) in &push.pushed.0 {
        match action {
            Action::Build { branch, new, .. } => {
                let name = format!("refs/heads/{branch}");
                let taken = answer.verdict(&pin_name(*id, branch));
                match build(&push, *id, new, taken).await {
                    Ok(settled) => shown = Some((name, settled)),
                    Err(why) => verdicts.push(Verdict { name, result: Err(why) }),
                }
            }
            Action::StoreTag(update) | Action::DeleteTag(update) => {
                let result = answer.verdict(&update.name);
                if result.is_ok() {
                    wire.say(&format!("-----> {} is kept; tags are not built", update.name)).await.ok();
                }
                verdicts.push(Verdict { name: update.name.clone(), result });
            }
            Action::DeleteBranch { branch, .. } => {
                let result = delete(&push, branch, &mut wire).await;
                let result = result.map_err(|error| format!("not deleted: {error:#}"));
                verdicts.push(Verdict { name: format!("refs/heads/{branch}"), result });
            }
        }
    }
    // A view that ends early leaves everything else as it is.
    if let Some((name, settled)) = shown {
        match stream::show(&push, &settled, &mut wire).await {
            Ok(result) => verdicts.push(Verdict { name, result }),
            Err(gone) => return tracing::debug!("{gone:?}: the build goes on"),
        }
    }
    wire.report(&verdicts).await.ok();
}

/// Renews the intent until git has ended.
async fn wait(push: &Push, child: Child) -> Answer {
    let reading = child::read(child, &push.git.tasks);
    let renewing = async {
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            if let Some((id, ..)) = push.pushed.build()
                && let Err(error) = store::push::renew(&push.git.db, id).await
            {
                tracing::warn!("renewing a push: {error:#}");
            }
        }
    };
    let read = tokio::select! {
        read = reading => read,
        () = renewing => return Answer::default(),
    };
    read.unwrap_or_else(|error| {
        tracing::error!(push.app.name, "reading git's answer: {error:#}");
        Answer::default()
    })
}

async fn pin(push: &Push, staged: Staged) -> Answer {
    let Some((id, branch, ..)) = push.pushed.build() else { return Answer::default() };
    let name = pin_name(id, branch);
    let pinned = name.clone();
    let pinning = tokio::task::spawn_blocking(move || staged.pin(&pinned)).await;
    let taken = pinning.map_err(anyhow::Error::from).and_then(|it| Ok(it?));
    Answer::of_one(&name, taken.map_err(|error| format!("the push could not be stored: {error:#}")))
}

/// Waits until no other push is being received, so this one does not wait for it.
fn clean(push: &Push) {
    let (repository, app) = (push.repository.clone(), push.app.name.clone());
    push.git.tasks.spawn_blocking(move || match repository.clean() {
        Ok(removed) => tracing::warn!(app, removed, "a push was not taken to its end"),
        Err(error) => tracing::warn!(app, "cleaning a repository: {error}"),
    });
}

/// The pin is there or not: from here on it is certain what becomes of the push, however long the database is away.
async fn build(push: &Push, id: Uuid, new: &Commit, taken: Result<(), String>) -> Result<Settled, String> {
    loop {
        let settled = match &taken {
            Ok(()) => accept::settle(&push.git, &push.repository, id, new).await,
            Err(why) => abort(&push.git, id, why).await.map(|()| Settled::Rejected(why.clone())),
        };
        match settled {
            Ok(Settled::Rejected(why)) => return Err(why),
            Ok(settled) => return Ok(settled),
            Err(error) => tracing::warn!(%id, "a push waits to be settled: {error:#}"),
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

pub(super) async fn abort(git: &Git, id: Uuid, why: &str) -> Result<()> {
    store::push::end(&mut *git.db.acquire().await?, id, PushState::Aborted, Some(why)).await?;
    Ok(())
}

/// The branch is gone, what is being built of it stops, and the environments that it ran in are removed.
async fn delete(push: &Push, name: &str, wire: &mut Wire) -> Result<()> {
    let db = &push.git.db;
    let Some(branch) = store::branch::by_name(db, push.app.id, name).await? else { return Ok(()) };
    let mut tx = db.begin().await?;
    store::branch::delete(&mut tx, branch.id).await?;
    let mut removed = Vec::new();
    for environment in store::environment::of_branch(&mut tx, branch.id).await? {
        if environment.name != domain::name::MAIN
            && store::environment::ask_removal(&mut tx, environment.id).await?
        {
            removed.push(environment.name);
        }
    }
    tx.commit().await?;
    store::worker::wake(db, &[JobKind::Build, JobKind::Deploy, JobKind::Report]).await;
    push.git.project(push.app.id, &push.repository).await?;
    for environment in removed {
        wire.say(&format!("-----> Environment {environment} is being removed")).await.ok();
    }
    Ok(())
}

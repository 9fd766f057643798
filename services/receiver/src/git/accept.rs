//! From a push that git has taken to what speaks for it: the one transaction that makes a build of it. Safe to run again
//! after any crash, and from the reconciler beside the request: whoever comes second finds what the first one did.

use anyhow::{Context as _, Result};
use domain::commit::Commit;
use domain::job::JobKind;
use domain::state::PushState;
use gitrepo::bare::Repository;
use sqlx::{Connection as _, PgConnection};
use store::bell::{self, Channel};
use store::build::Build;
use store::push::Held;
use uuid::Uuid;

use super::Git;
use super::decide::{self, Decision, InFlight, Situation};

/// What became of a push.
#[derive(Debug)]
pub(super) enum Settled {
    /// It has a build of its own.
    Queued(Build),
    /// A build of the same commit was there.
    Attached(Build),
    /// The commit is what is live, through this build.
    Live(Build),
    Rejected(String),
}

/// `new` is what the push with this id pushes.
pub(super) async fn settle(git: &Git, repository: &Repository, push: Uuid, new: &Commit) -> Result<Settled> {
    // The repository answers while the database does.
    let (looking, commit) = (repository.clone(), new.clone());
    let is_commit = tokio::task::spawn_blocking(move || looking.has(&commit));
    let mut conn = git.db.acquire().await?;
    let mut tx = conn.begin().await?;
    let held = store::push::hold(&mut tx, push).await?.context("the push was never written down")?;
    let settled = match held.push.state.0 {
        PushState::Receiving => match judge(&mut tx, repository, &held, is_commit.await?).await? {
            Decision::Accept => Settled::Queued(store::push::accept(&mut tx, &held).await?),
            Decision::Attach => {
                store::push::end(&mut tx, push, PushState::Attached, None).await?;
                Settled::Attached(held.in_flight.context("attached to no build")?)
            }
            Decision::Live => {
                store::push::end(&mut tx, push, PushState::Attached, None).await?;
                Settled::Live(held.live.context("no build made the head live")?)
            }
            Decision::Reject(why) => {
                store::push::end(&mut tx, push, PushState::Rejected, Some(&why)).await?;
                Settled::Rejected(why)
            }
        },
        ended @ (PushState::Accepted | PushState::Attached | PushState::Rejected | PushState::Aborted) => {
            tx.rollback().await?;
            drop(conn);
            return found(git, &held, ended).await;
        }
    };
    tx.commit().await?;
    if let Settled::Queued(build) = &settled {
        let id = build.id.to_string();
        bell::ring_both(&mut conn, (Channel::Job, JobKind::Build.as_str()), (Channel::Build, &id)).await;
        tracing::info!(build.number, build.branch, build.commit, build.pusher, "push");
    }
    Ok(settled)
}

/// The reconciler was quicker.
async fn found(git: &Git, held: &Held, state: PushState) -> Result<Settled> {
    let own = store::build::of_push(&git.db, held.push.id).await?;
    let of_commit =
        || [&held.in_flight, &held.live].into_iter().flatten().find(|it| it.commit == held.push.commit);
    Ok(match (state, own.or_else(|| of_commit().cloned())) {
        (PushState::Accepted, Some(build)) => Settled::Queued(build),
        (PushState::Attached, Some(build)) => Settled::Attached(build),
        _ => Settled::Rejected("the push was given up; push again".to_owned()),
    })
}

/// Looks into the repository, whose objects are all there by now. Whoever holds a connection never waits for another:
/// as many pushes at once as there are connections would wait for each other.
async fn judge(
    conn: &mut PgConnection,
    repository: &Repository,
    held: &Held,
    is_commit: bool,
) -> Result<Decision> {
    // A branch that is shown already has its place.
    let heads = match &held.branch.head {
        Some(_) => Vec::new(),
        None => store::branch::heads(conn, held.branch.app_id).await?,
    };
    if let Some((other, _)) = heads.iter().find(|(head, _)| excludes(head, &held.branch.name)) {
        let why = format!(
            "git cannot keep this branch beside the branch {other}; delete that one or choose another name"
        );
        return Ok(Decision::Reject(why));
    }
    if !is_commit {
        return Ok(Decision::Reject("what was pushed is no commit".to_owned()));
    }
    let judged = decide::decide(&situation(held, (false, false)));
    if !matches!(judged, Decision::Reject(_)) {
        return Ok(judged);
    }
    // What a push contains is only ever in its favour: no other one has its history looked at.
    let head = held.branch.head.as_deref().map(Commit::parse).transpose()?;
    let running = held.in_flight.as_ref().map(|build| Commit::parse(&build.commit)).transpose()?;
    let (repository, new) = (repository.clone(), Commit::parse(&held.push.commit)?);
    let look =
        move || [head, running].map(|it| it.is_some_and(|ancestor| repository.contains(&ancestor, &new)));
    let [contains_head, contains_running] = tokio::task::spawn_blocking(look).await?;
    Ok(decide::decide(&situation(held, (contains_head, contains_running))))
}

/// `contains`: whether the pushed commit has the head among its ancestors, and the commit that is being built.
fn situation(held: &Held, contains: (bool, bool)) -> Situation<'_> {
    Situation {
        head: held.branch.head.as_deref(),
        contains_head: contains.0,
        old: held.push.old.as_deref(),
        new: &held.push.commit,
        pusher: held.push.pusher.as_deref(),
        options: &held.push.options,
        in_flight: held.in_flight.as_ref().map(|build| InFlight {
            number: build.number,
            commit: &build.commit,
            pusher: build.pusher.as_deref(),
            is_contained: contains.1,
        }),
    }
}

/// A branch is a file, and its name's parts are folders: `a` and `a/b` cannot both be there.
fn excludes(one: &str, other: &str) -> bool {
    let is_under =
        |long: &str, short: &str| long.strip_prefix(short).is_some_and(|rest| rest.starts_with('/'));
    is_under(one, other) || is_under(other, one)
}

#[cfg(test)]
mod tests {
    use super::excludes;

    #[test]
    fn branches_that_cannot_be_beside_each_other() {
        assert!(excludes("a", "a/b") && excludes("a/b/c", "a/b"));
        assert!(!excludes("a", "a") && !excludes("a", "ab") && !excludes("a/b", "a/c"));
    }
}

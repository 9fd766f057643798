//! A user who makes commits and pushes each until told what became of it, as fast as possible.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use rand::rngs::StdRng;
use rand::{RngCore as _, SeedableRng as _};
use tokio_util::sync::CancellationToken;

use super::counts::Counts;
use super::schedule::Plan;
use super::told::{Told, told};
use crate::player::{End, Script};
use crate::tree::{self, Tree};

const REMOTE: &str = "slipway";
/// No push of a soak takes so long unless it hangs.
const PUSH_MAX: Duration = Duration::from_secs(60);
/// Eight users who try again at once would leave a small machine no time to start the receiver.
const PAUSE: Duration = Duration::from_millis(200);
/// Once nothing breaks any more, every push succeeds within this time.
const PATIENCE: Duration = Duration::from_secs(150);

#[derive(Debug)]
pub struct Pusher {
    pub app: String,
    pub branch: String,
    pub tree: Tree,
}

/// A commit that a user wanted built: from the first attempt to push it until an attempt was answered.
#[derive(Debug, Clone)]
pub struct Asked {
    pub app: String,
    pub branch: String,
    pub commit: String,
    /// Until it is live; else until it is queued.
    pub waits: bool,
    pub attempts: u64,
    /// Seconds since 1970.
    pub from: f64,
    pub until: f64,
    /// Of the last attempt.
    pub told: Told,
}

/// How the build of each commit is to go.
#[derive(Debug, Clone, Default)]
pub struct Scripts(Arc<Mutex<HashMap<String, Script>>>);

impl Scripts {
    fn set(&self, commit: &str, script: Script) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(commit.to_owned(), script);
    }

    /// Commits that nobody has made are not asked for.
    pub fn of(&self, commit: &str) -> Option<Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(commit).copied()
    }
}

pub async fn create(mut tree: Tree, app: &str, branch: &str, url: &str, header: String) -> Result<Pusher> {
    tree::set_header(&mut tree, header);
    tree::git(&tree, &["remote", "add", REMOTE, url]).await?;
    Ok(Pusher { app: app.to_owned(), branch: branch.to_owned(), tree })
}

/// Pushes one planned commit after the other until `stop`, and the last one to its end.
pub async fn run(
    pusher: Pusher,
    plans: impl Iterator<Item = Plan>,
    scripts: Scripts,
    counts: Arc<Counts>,
    stop: CancellationToken,
) -> Result<Vec<Asked>> {
    let mut all = Vec::new();
    for (plan, n) in plans.zip(0..) {
        if stop.is_cancelled() {
            break;
        }
        let text = noise(n, plan.lines);
        std::fs::write(pusher.tree.path.join("file"), text).context("writing a file to push")?;
        if plan.is_for_git {
            link(&pusher.tree, n).context("changing a link to push")?;
        }
        let commit = tree::commit(&pusher.tree, &format!("Commit {n} of {}", pusher.branch), n).await?;
        scripts.set(&commit, plan.script);
        let asked = ask(&pusher, &commit, plan.waits, &counts, &stop).await?;
        let is_again = plan.repeats && matches!(asked.told, Told::Verdict(_)) && !stop.is_cancelled();
        all.push(asked);
        if is_again {
            scripts.set(&commit, Script { end: End::Live, ..plan.script });
            all.push(ask(&pusher, &commit, plan.waits, &counts, &stop).await?);
        }
    }
    Ok(all)
}

async fn ask(
    pusher: &Pusher,
    commit: &str,
    waits: bool,
    counts: &Counts,
    stop: &CancellationToken,
) -> Result<Asked> {
    let target = format!("HEAD:refs/heads/{}", pusher.branch);
    let wait = if waits { "wait=live" } else { "wait=queued" };
    let mut asked = Asked {
        app: pusher.app.clone(),
        branch: pusher.branch.clone(),
        commit: commit.to_owned(),
        waits,
        attempts: 0,
        from: now(),
        until: f64::INFINITY,
        told: Told::Nothing(String::new()),
    };
    let mut give_up_at = None;
    loop {
        asked.attempts += 1;
        counts.attempts.add(1);
        let push = tree::bounded(&pusher.tree, &["push", "-o", wait, REMOTE, &target], PUSH_MAX).await?;
        asked.told = told(push.status.success(), &String::from_utf8_lossy(&push.stderr));
        if asked.told.is_acknowledged() {
            asked.until = now();
            counts.acknowledged.add(1);
            return Ok(asked);
        }
        if let Told::Nothing(why) = &asked.told {
            counts.refusals.add(why);
        }
        if stop.is_cancelled() && now() > *give_up_at.get_or_insert(now() + PATIENCE.as_secs_f64()) {
            return Ok(asked);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Makes a link, or leads it elsewhere.
fn link(tree: &Tree, n: u64) -> std::io::Result<()> {
    let path = tree.path.join("link");
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => std::os::unix::fs::symlink(format!("target{n}"), path),
    }
}

/// Text that does not compress, the same for the same commit.
fn noise(n: u64, lines: usize) -> String {
    let mut rng = StdRng::seed_from_u64(n);
    (0..lines).map(|_| format!("{:016x}{:016x}\n", rng.next_u64(), rng.next_u64())).collect()
}

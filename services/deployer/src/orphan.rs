//! Removes namespaces of environments that the database does not know: of an application that was deleted, or left by a
//! crash. Only after a while, because a wrong database knows none of them; and one that stays keeps no other.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};
use manifest::label;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::namespace::{self, Left};
use crate::{Deployer, fault};

const LOOK_EVERY: Duration = Duration::from_secs(60);
/// For so long somebody can read in the log what is to go.
pub(crate) const GRACE: Duration = Duration::from_secs(600);

/// Since when each namespace, by its name and uid, has been an orphan.
pub(crate) type Since = HashMap<(String, String), Instant>;

pub(crate) async fn run(deployer: Arc<Deployer>, shutdown: CancellationToken) -> Result<()> {
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut since = Since::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            _ = look.tick() => {}
        }
        if let Err(error) = sweep(&deployer, &mut since, Instant::now()).await {
            tracing::warn!("looking for namespaces without an environment: {error:#}");
        }
    }
}

pub(crate) async fn sweep(deployer: &Deployer, since: &mut Since, now: Instant) -> Result<()> {
    let Some(orphans) = orphans(deployer).await? else {
        since.clear();
        return Ok(());
    };
    for name in overdue(since, orphans, now) {
        match namespace::delete(&deployer.client, &name).await {
            Ok(Left::Nothing) => {}
            Ok(Left::Some(why)) => tracing::warn!(name, "removing a namespace without an environment: {why}"),
            Err(error) => tracing::warn!(name, "a namespace without an environment stays: {error}"),
        }
    }
    Ok(())
}

/// `None`: the database knows not one environment, so nothing is said of them.
async fn orphans(deployer: &Deployer) -> Result<Option<HashSet<(String, String)>>> {
    let ours = format!("{}={},{},{}", label::MANAGED_BY, label::SLIPWAY, label::APP, label::ENV);
    // The cluster is asked before the database: a namespace is made after its row.
    let namespaces = Api::<Namespace>::all(deployer.client.clone());
    let found = fault::request(namespaces.list(&ListParams::default().labels(&ours))).await?.items;
    let known: HashSet<String> = store::environment::namespaces(&deployer.db).await?.into_iter().collect();
    let orphans = found.iter().filter(|it| !known.contains(&it.name_any()));
    let orphans: HashSet<_> = orphans.map(|it| (it.name_any(), it.uid().unwrap_or_default())).collect();
    if known.is_empty() && !orphans.is_empty() {
        let count = orphans.len();
        tracing::warn!("{count} namespaces and not one environment: is it the right database? They stay.");
        return Ok(None);
    }
    Ok(Some(orphans))
}

/// Takes in which orphans there are now and answers those that have been for long enough.
fn overdue(since: &mut Since, orphans: HashSet<(String, String)>, now: Instant) -> Vec<String> {
    since.retain(|orphan, _| orphans.contains(orphan));
    for orphan in orphans {
        since.entry(orphan).or_insert_with_key(|(name, _)| {
            let minutes = GRACE.as_secs() / 60;
            tracing::warn!(name, "a namespace without an environment; it is removed in {minutes} minutes");
            now
        });
    }
    let mut overdue: Vec<String> = since
        .iter()
        .filter(|(_, since)| now.duration_since(**since) >= GRACE)
        .map(|((name, _), _)| name.clone())
        .collect();
    overdue.sort_unstable();
    overdue
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orphans(uids: &[&str]) -> HashSet<(String, String)> {
        uids.iter().map(|uid| ("env-x".to_owned(), (*uid).to_owned())).collect()
    }

    #[test]
    fn an_orphan_goes_when_it_was_one_for_long_enough() {
        let (mut since, start) = (Since::new(), Instant::now());
        assert!(overdue(&mut since, orphans(&["1"]), start).is_empty());
        assert!(overdue(&mut since, orphans(&["1"]), start + GRACE / 2).is_empty());
        assert_eq!(overdue(&mut since, orphans(&["1"]), start + GRACE), ["env-x"]);
        // Known again for one look, or another namespace of its name: the time begins anew.
        assert!(overdue(&mut since, orphans(&[]), start + GRACE).is_empty());
        assert!(overdue(&mut since, orphans(&["1"]), start + GRACE).is_empty());
        assert!(overdue(&mut since, orphans(&["2"]), start + 2 * GRACE).is_empty());
    }
}

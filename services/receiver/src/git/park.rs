//! Git children that were started when a client asked what there is, since most who ask that way push next: they are
//! ready by the time the pack comes, which would wait for them otherwise.
//!
//! One that waits knows of no push, holds no lock and has written nothing. It serves whoever pushes to its application
//! next, and is killed when nobody does.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gitrepo::bare::Parked;
use uuid::Uuid;

use super::{Git, RECEIVING_MAX};

/// A client packs what it pushes meanwhile; one that takes longer is not kept from much by the start of a process.
const PATIENCE: Duration = Duration::from_secs(5);

/// At most one for an application.
#[derive(Debug, Default)]
pub(super) struct Lot(Mutex<HashMap<Uuid, Place>>);

#[derive(Debug)]
struct Place {
    /// Tells one from the next of the same application.
    id: Uuid,
    parked: Parked,
}

impl Lot {
    /// `start` is not called when there is one, or when there are as many as may receive at once.
    fn put<E>(&self, app: Uuid, start: impl FnOnce() -> Result<Parked, E>) -> Result<Option<Uuid>, E> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = places.len() >= RECEIVING_MAX;
        match places.entry(app) {
            Entry::Vacant(vacant) if !is_full => {
                let id = Uuid::new_v4();
                vacant.insert(Place { id, parked: start()? });
                Ok(Some(id))
            }
            Entry::Vacant(_) | Entry::Occupied(_) => Ok(None),
        }
    }

    /// One that still waits for a push to the application.
    pub(super) fn take(&self, app: Uuid) -> Option<Parked> {
        let place = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&app);
        let mut parked = place?.parked;
        parked.is_alive().then_some(parked)
    }

    #[cfg(test)]
    pub(super) fn has(&self, app: Uuid) -> bool {
        self.0.lock().unwrap().contains_key(&app)
    }

    fn take_if(&self, app: Uuid, id: Uuid) -> Option<Parked> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match places.entry(app) {
            Entry::Occupied(occupied) if occupied.get().id == id => Some(occupied.remove().parked),
            Entry::Occupied(_) | Entry::Vacant(_) => None,
        }
    }
}

/// Starts one beside the request, which does not wait for it.
pub(super) fn park(git: &Arc<Git>, app: Uuid) {
    park_for(git, app, PATIENCE);
}

fn park_for(git: &Arc<Git>, app: Uuid, patience: Duration) {
    let parking = git.clone();
    git.tasks.spawn(async move {
        let git = parking;
        let repository = git.repositories.repository(app);
        let id = match git.parked.put(app, || repository.receive_pack(git.pack_max_bytes)) {
            Ok(Some(id)) => id,
            Ok(None) => return,
            // The push starts its own, and says what is wrong.
            Err(error) => return tracing::debug!(%app, "starting git ahead of a push: {error}"),
        };
        tokio::select! {
            () = tokio::time::sleep(patience) => {}
            () = git.shutdown.cancelled() => {}
        }
        if let Some(parked) = git.parked.take_if(app, id) {
            parked.kill().await;
        }
    });
}

#[cfg(test)]
mod tests {
    use gitrepo::GitError;
    use gitrepo::bare::Repositories;
    use tempfile::TempDir;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::status::Links;

    const APP: Uuid = Uuid::from_u128(1);
    /// The processes of a test that hangs.
    const FOREVER: Duration = Duration::from_secs(3600);

    /// Without a database: nothing here asks one.
    fn new() -> (TempDir, Arc<Git>) {
        let folder = tempfile::tempdir().unwrap();
        let repositories = Repositories::open(folder.path()).unwrap();
        let links =
            Links { base_url: "http://slipway.example/".parse().unwrap(), base_domain: "x".to_owned() };
        let db = store::pool("postgres://nobody@127.0.0.1:1/none", 1).unwrap();
        let git = Git::new(db, repositories, links, 1 << 20, CancellationToken::new());
        git.repositories.repository(APP).ensure().unwrap();
        (folder, git)
    }

    fn start(git: &Git, app: Uuid) -> Result<Parked, GitError> {
        git.repositories.repository(app).receive_pack(git.pack_max_bytes)
    }

    #[tokio::test]
    async fn one_waits_for_each_of_a_few_applications() {
        let (_folder, git) = new();
        let first = git.parked.put(APP, || start(&git, APP)).unwrap().unwrap();
        assert_eq!(git.parked.put(APP, || -> Result<_, ()> { panic!("there is one") }), Ok(None));
        assert!(git.parked.take(APP).is_some() && git.parked.take(APP).is_none());
        let second = git.parked.put(APP, || start(&git, APP)).unwrap().unwrap();
        assert!(git.parked.take_if(APP, first).is_none(), "its turn is over, and not the other one's");
        assert!(git.parked.take_if(APP, second).is_some());
        for n in 0..RECEIVING_MAX as u128 {
            assert!(git.parked.put(Uuid::from_u128(10 + n), || start(&git, APP)).unwrap().is_some());
        }
        assert_eq!(git.parked.put(APP, || -> Result<_, ()> { panic!("there are enough") }), Ok(None));
        assert!(git.parked.put(APP, || start(&git, Uuid::nil())).is_ok_and(|id| id.is_none()));
    }

    #[tokio::test]
    async fn one_that_has_died_is_not_given_a_push() {
        let (folder, git) = new();
        std::fs::remove_file(git.repositories.path(APP).join("HEAD")).unwrap();
        git.parked.put(APP, || start(&git, APP)).unwrap().unwrap();
        let is_alive = || git.parked.0.lock().unwrap().get_mut(&APP).unwrap().parked.is_alive();
        while is_alive() {
            tokio::task::yield_now().await;
        }
        assert!(git.parked.take(APP).is_none() && !git.parked.has(APP));
        // None can be started where there is no repository: the push says so.
        drop(folder);
        assert!(git.parked.put(APP, || start(&git, APP)).is_err() && !git.parked.has(APP));
    }

    #[tokio::test]
    async fn nobody_s_is_ended() {
        let (_folder, git) = new();
        park_for(&git, APP, Duration::ZERO);
        git.tasks.close();
        git.tasks.wait().await;
        assert!(!git.parked.has(APP), "nobody came");

        park_for(&git, APP, FOREVER);
        while !git.parked.has(APP) {
            tokio::task::yield_now().await;
        }
        git.shutdown.cancel();
        git.tasks.wait().await;
        assert!(!git.parked.has(APP), "nobody will come");
    }
}

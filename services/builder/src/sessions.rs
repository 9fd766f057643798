//! Sessions that are kept open between the builds of an application: BuildKit takes what it got over one for known as long
//! as the session lasts.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use buildkit::session::{self, Session};
use buildkit::{Channel, SolveError};

/// An application that is not built for so long starts anew: a transfer of names and times, not of contents.
const IDLE_MAX: Duration = Duration::from_secs(30 * 60);
/// BuildKit looks after the health of each every few seconds.
const KEPT_MAX: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Sessions {
    /// The ones at rest, the last used at the end.
    resting: Mutex<Vec<Resting>>,
}

#[derive(Debug)]
struct Resting {
    daemon: String,
    app_key: String,
    since: Instant,
    session: Session,
}

/// A session that a build uses. Dropping it closes it: a build that was stopped may still ask for its files, and must
/// not get those of the next one in their place.
#[derive(Debug)]
pub(crate) struct Lent<'s> {
    sessions: &'s Sessions,
    daemon: String,
    app_key: String,
    pub(crate) session: Session,
}

impl Sessions {
    /// A session of the application at this daemon which no other build uses.
    pub(crate) async fn lend(
        &self,
        channel: &Channel,
        daemon: &str,
        app_key: &str,
    ) -> Result<Lent<'_>, SolveError> {
        let session = match self.take(daemon, app_key) {
            Some(session) => session,
            None => session::open(channel, app_key).await?,
        };
        Ok(Lent { sessions: self, daemon: daemon.to_owned(), app_key: app_key.to_owned(), session })
    }

    fn take(&self, daemon: &str, app_key: &str) -> Option<Session> {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.retain(|it| it.session.is_open() && it.since.elapsed() < IDLE_MAX);
        let at = resting.iter().rposition(|it| it.daemon == daemon && it.app_key == app_key)?;
        Some(resting.remove(at).session)
    }

    fn rest(&self, new: Resting) {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.push(new);
        if resting.len() > KEPT_MAX {
            resting.remove(0);
        }
    }
}

impl Lent<'_> {
    /// The build is over and needs nothing more: the next one may use the session.
    pub(crate) fn give_back(self) {
        let Lent { sessions, daemon, app_key, session } = self;
        session.rest();
        sessions.rest(Resting { daemon, app_key, since: Instant::now(), session });
    }
}

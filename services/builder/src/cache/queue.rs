//! Which export is next: the newest of each application, one at a time, and none of an application that is being built.
//! Builds of other applications, and what follows from them, go first for a while. Pure.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Each of them holds the listing of a commit's files,
const WAITING_MAX: usize = 64;
/// and all that wait have at most so many together: some tens of MiB.
const FILES_MAX: usize = 100_000;
/// After a build, until what it made is pulled and rolled out; and who pushes twice in a row has one export.
pub(super) const REST: Duration = Duration::from_secs(10);
/// Where builds never end, a cache is exported beside those of other applications after this time.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Queue<T> {
    /// Oldest first, one of each application.
    waiting: Vec<Waiting<T>>,
    /// The application of each build that runs.
    building: Vec<Uuid>,
    /// When the last build ended.
    built_at: Option<Instant>,
    exporting: Option<Exporting>,
}

#[derive(Debug)]
struct Exporting {
    app: Uuid,
    is_patient: bool,
    given_up: CancellationToken,
}

/// An export that waits.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    pub(super) app: Uuid,
    pub(super) not_before: Instant,
    /// When it, or the one whose place it took, could have begun first.
    pub(super) since: Instant,
    /// In the listing of its commit.
    pub(super) files: usize,
    pub(super) what: T,
}

impl<T> Waiting<T> {
    fn is_patient(&self, now: Instant) -> bool {
        now < self.since + PATIENCE
    }
}

/// An export that begins. Whoever runs it stops when `given_up` says so, and tells [`Queue::over`] in any case.
#[derive(Debug)]
pub(super) struct Next<T> {
    pub(super) waited: Waiting<T>,
    pub(super) given_up: CancellationToken,
}

impl<T> Default for Queue<T> {
    fn default() -> Queue<T> {
        Queue { waiting: Vec::new(), building: Vec::new(), built_at: None, exporting: None }
    }
}

impl<T> Queue<T> {
    /// In the place of an older one of the application.
    pub(super) fn offer(&mut self, mut new: Waiting<T>) {
        if let Some(at) = self.waiting.iter().position(|it| it.app == new.app) {
            new.since = self.waiting.remove(at).since.min(new.since);
        }
        self.waiting.push(new);
        while self.waiting.len() > WAITING_MAX || (self.waiting.len() > 1 && self.files() > FILES_MAX) {
            self.waiting.remove(0);
        }
    }

    fn files(&self) -> usize {
        self.waiting.iter().map(|it| it.files).sum()
    }

    /// One that did not come to its end waits again, unless a newer one does.
    pub(super) fn put_back(&mut self, old: Waiting<T>) {
        if self.waiting.iter().all(|it| it.app != old.app) {
            self.offer(old);
        }
    }

    /// A build begins; an export that runs is in its way, unless that has waited for builds of others for long.
    pub(super) fn begin(&mut self, app: Uuid) {
        self.building.push(app);
        if let Some(running) = self.exporting.iter().find(|it| it.is_patient || it.app == app) {
            running.given_up.cancel();
        }
    }

    pub(super) fn end(&mut self, app: Uuid, now: Instant) {
        self.built_at = Some(now);
        if let Some(at) = self.building.iter().position(|it| *it == app) {
            self.building.swap_remove(at);
        }
    }

    /// `has_room`: whether no build waits for what it takes.
    pub(super) fn next(&mut self, now: Instant, has_room: impl Fn(&T) -> bool) -> Option<Next<T>> {
        if self.exporting.is_some() {
            return None;
        }
        let is_quiet = self.building.is_empty() && self.built_at.is_none_or(|at| at + REST <= now);
        let is_next = |it: &Waiting<T>| {
            it.not_before <= now
                && (is_quiet || !it.is_patient(now))
                && !self.building.contains(&it.app)
                && has_room(&it.what)
        };
        let at = self.waiting.iter().position(is_next)?;
        let waited = self.waiting.remove(at);
        let (app, is_patient) = (waited.app, waited.is_patient(now));
        let given_up = CancellationToken::new();
        self.exporting = Some(Exporting { app, is_patient, given_up: given_up.clone() });
        Some(Next { waited, given_up })
    }

    pub(super) fn over(&mut self) {
        self.exporting = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEMO: Uuid = Uuid::from_u128(1);
    const OTHER: Uuid = Uuid::from_u128(2);

    fn waiting(app: Uuid, since: Instant, what: u32) -> Waiting<u32> {
        Waiting { app, not_before: since, since, files: 1, what }
    }

    fn next(queue: &mut Queue<u32>, now: Instant) -> Option<u32> {
        queue.next(now, |_| true).map(|it| it.waited.what)
    }

    #[test]
    fn the_newest_of_an_application_one_at_a_time() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let later = now + Duration::from_secs(1);
        queue.offer(waiting(DEMO, now, 1));
        queue.offer(waiting(OTHER, now, 2));
        queue.offer(waiting(DEMO, later, 3));
        assert_eq!(next(&mut queue, now), Some(2));
        assert_eq!(next(&mut queue, later), None, "one runs");
        queue.over();
        assert_eq!(next(&mut queue, now), None, "it is too early");
        assert_eq!(next(&mut queue, later), Some(3));
        queue.over();
        assert_eq!(next(&mut queue, later), None);
    }

    #[test]
    fn builds_of_all_applications_come_first() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.offer(waiting(DEMO, now, 1));
        queue.begin(DEMO);
        queue.begin(OTHER);
        queue.end(DEMO, now);
        assert_eq!(next(&mut queue, now + REST), None, "one build of two runs on");
        queue.end(OTHER, now + REST);
        assert_eq!(next(&mut queue, now + REST), None, "what it made is rolled out now");
        let quiet = now + 2 * REST;
        assert!(queue.next(quiet, |_| false).is_none(), "no room");
        let running = queue.next(quiet, |_| true).unwrap();
        queue.begin(OTHER);
        assert!(running.given_up.is_cancelled());
        queue.over();
        queue.put_back(running.waited);
        assert_eq!(next(&mut queue, quiet), None);
        queue.end(OTHER, quiet);
        assert_eq!(next(&mut queue, quiet + REST), Some(1));
    }

    #[test]
    fn where_builds_never_end_only_those_of_its_application_come_first() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.begin(OTHER);
        queue.offer(waiting(DEMO, now, 1));
        let late = now + PATIENCE;
        queue.offer(waiting(DEMO, late - REST, 2));
        assert_eq!(next(&mut queue, late - REST), None);
        let running = queue.next(late, |_| true).unwrap();
        assert_eq!(running.waited.what, 2, "it waited in the place of the other one");
        queue.begin(OTHER);
        assert!(!running.given_up.is_cancelled());
        queue.begin(DEMO);
        assert!(running.given_up.is_cancelled());
        queue.over();
        queue.put_back(running.waited);
        assert_eq!(next(&mut queue, late), None);
        queue.end(DEMO, late);
        assert_eq!(next(&mut queue, late), Some(2));
    }

    #[test]
    fn what_is_put_back_gives_way_to_what_is_newer() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.offer(waiting(DEMO, now, 2));
        queue.put_back(waiting(DEMO, now, 1));
        assert_eq!(next(&mut queue, now), Some(2));
        queue.over();
        assert_eq!(next(&mut queue, now), None);
    }

    #[test]
    fn not_all_there_ever_were_are_held() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        for number in 0..=u32::try_from(WAITING_MAX).unwrap() {
            queue.offer(waiting(Uuid::from_u128(number.into()), now, number));
        }
        assert_eq!(next(&mut queue, now), Some(1), "the oldest is not there");
        queue.over();
        queue.offer(Waiting { files: FILES_MAX - 2, ..waiting(DEMO, now, 100) });
        assert_eq!(queue.waiting.iter().map(|it| it.what).collect::<Vec<_>>(), [63, 64, 100]);
        queue.offer(Waiting { files: FILES_MAX + 1, ..waiting(OTHER, now, 101) });
        assert_eq!(next(&mut queue, now), Some(101), "one too large is held alone");
    }
}

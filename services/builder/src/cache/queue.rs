//! Which export is next: the newest of each application, one at a time, and none of an application that is being built.
//! Pure.

use std::time::Instant;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Each of them holds the listing of a commit's files.
const WAITING_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct Queue<T> {
    /// Oldest first, one of each application.
    waiting: Vec<Waiting<T>>,
    /// The application of each build that runs.
    building: Vec<Uuid>,
    exporting: Option<(Uuid, CancellationToken)>,
}

#[derive(Debug)]
struct Waiting<T> {
    app: Uuid,
    not_before: Instant,
    what: T,
}

/// An export that begins. Whoever runs it stops when `given_up` says so, and tells [`Queue::over`] in any case.
#[derive(Debug)]
pub(super) struct Next<T> {
    pub(super) app: Uuid,
    pub(super) what: T,
    pub(super) given_up: CancellationToken,
}

impl<T> Default for Queue<T> {
    fn default() -> Queue<T> {
        Queue { waiting: Vec::new(), building: Vec::new(), exporting: None }
    }
}

impl<T> Queue<T> {
    /// In the place of an older one of the application.
    pub(super) fn offer(&mut self, app: Uuid, not_before: Instant, what: T) {
        self.waiting.retain(|it| it.app != app);
        self.waiting.push(Waiting { app, not_before, what });
        if self.waiting.len() > WAITING_MAX {
            self.waiting.remove(0);
        }
    }

    /// One that did not come to its end waits again, unless a newer one does.
    pub(super) fn put_back(&mut self, app: Uuid, not_before: Instant, what: T) {
        if self.waiting.iter().all(|it| it.app != app) {
            self.offer(app, not_before, what);
        }
    }

    /// A build begins; its application's export, if that runs, is in its way.
    pub(super) fn begin(&mut self, app: Uuid) {
        self.building.push(app);
        if let Some((_, given_up)) = self.exporting.iter().find(|(it, _)| *it == app) {
            given_up.cancel();
        }
    }

    pub(super) fn end(&mut self, app: Uuid) {
        if let Some(at) = self.building.iter().position(|it| *it == app) {
            self.building.swap_remove(at);
        }
    }

    /// `has_room`: whether no build waits for what it takes.
    pub(super) fn next(&mut self, now: Instant, has_room: impl Fn(&T) -> bool) -> Option<Next<T>> {
        if self.exporting.is_some() {
            return None;
        }
        let is_next =
            |it: &Waiting<T>| it.not_before <= now && !self.building.contains(&it.app) && has_room(&it.what);
        let at = self.waiting.iter().position(is_next)?;
        let Waiting { app, what, .. } = self.waiting.remove(at);
        let given_up = CancellationToken::new();
        self.exporting = Some((app, given_up.clone()));
        Some(Next { app, what, given_up })
    }

    pub(super) fn over(&mut self) {
        self.exporting = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const DEMO: Uuid = Uuid::from_u128(1);
    const OTHER: Uuid = Uuid::from_u128(2);

    fn next(queue: &mut Queue<u32>, now: Instant) -> Option<u32> {
        queue.next(now, |_| true).map(|it| it.what)
    }

    #[test]
    fn the_newest_of_an_application_one_at_a_time() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let later = now + Duration::from_secs(1);
        queue.offer(DEMO, now, 1);
        queue.offer(OTHER, now, 2);
        queue.offer(DEMO, later, 3);
        assert_eq!(next(&mut queue, now), Some(2));
        assert_eq!(next(&mut queue, later), None, "one runs");
        queue.over();
        assert_eq!(next(&mut queue, now), None, "it is too early");
        assert_eq!(next(&mut queue, later), Some(3));
        queue.over();
        assert_eq!(next(&mut queue, later), None);
    }

    #[test]
    fn builds_come_first() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.offer(DEMO, now, 1);
        queue.begin(DEMO);
        queue.begin(DEMO);
        queue.end(DEMO);
        assert_eq!(next(&mut queue, now), None, "one build of two runs on");
        queue.end(DEMO);
        assert!(queue.next(now, |_| false).is_none(), "no room");
        let running = queue.next(now, |_| true).unwrap();
        queue.begin(OTHER);
        assert!(!running.given_up.is_cancelled(), "another application's is not in its way");
        queue.begin(DEMO);
        assert!(running.given_up.is_cancelled());
        queue.over();
        queue.put_back(running.app, now, running.what);
        assert_eq!(next(&mut queue, now), None);
        queue.end(DEMO);
        assert_eq!(next(&mut queue, now), Some(1));
    }

    #[test]
    fn what_is_put_back_gives_way_to_what_is_newer() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.offer(DEMO, now, 2);
        queue.put_back(DEMO, now, 1);
        assert_eq!(next(&mut queue, now), Some(2));
        queue.over();
        assert_eq!(next(&mut queue, now), None);
    }

    #[test]
    fn not_all_there_ever_were_are_held() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        for number in 0..=u32::try_from(WAITING_MAX).unwrap() {
            queue.offer(Uuid::from_u128(number.into()), now, number);
        }
        assert_eq!(next(&mut queue, now), Some(1), "the oldest is not there");
    }
}

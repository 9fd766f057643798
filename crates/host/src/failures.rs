//! Failures per client, so that tokens cannot be guessed at speed. In this process's memory only.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::ConnectInfo;
use axum::http::{Extensions, HeaderMap};

const FAILURES_MAX: u32 = 10;
/// Who failed too often is blocked until so long after the first failure.
pub const WINDOW: Duration = Duration::from_secs(60);
/// Clients remembered at once; beyond it the table starts anew rather than grow.
const CLIENTS_MAX: usize = 10_000;

#[derive(Clone, Copy, Debug)]
struct Count {
    failures: u32,
    since: Instant,
}

/// How often each client failed of late.
#[derive(Clone, Debug, Default)]
pub struct Failures(Arc<Mutex<HashMap<IpAddr, Count>>>);

impl Failures {
    pub fn is_blocked(&self, client: IpAddr, now: Instant) -> bool {
        let clients = self.0.lock().expect("nobody panics while holding the table");
        clients.get(&client).is_some_and(|it| it.failures >= FAILURES_MAX && now - it.since < WINDOW)
    }

    pub fn count(&self, client: IpAddr, now: Instant) {
        let mut clients = self.0.lock().expect("nobody panics while holding the table");
        if clients.len() >= CLIENTS_MAX {
            clients.clear();
        }
        let count = clients.entry(client).or_insert(Count { failures: 0, since: now });
        if now - count.since >= WINDOW {
            *count = Count { failures: 0, since: now };
        }
        count.failures += 1;
    }
}

/// The client's address: the router in front appends it to the list, so the last entry is the one that is not made up.
pub fn client_of(headers: &HeaderMap, extensions: &Extensions) -> IpAddr {
    let mut lists = headers.get_all("x-forwarded-for").into_iter().filter_map(|it| it.to_str().ok());
    let last =
        lists.next_back().and_then(|list| list.rsplit(',').next()).and_then(|it| it.trim().parse().ok());
    let peer = || extensions.get::<ConnectInfo<SocketAddr>>().map(|it| it.0.ip());
    last.or_else(peer).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_failures_block_one_client_for_a_minute() {
        let failures = Failures::default();
        let (guesser, other): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let start = Instant::now();
        for n in 0..10 {
            assert!(!failures.is_blocked(guesser, start), "{n}");
            failures.count(guesser, start);
        }
        assert!(failures.is_blocked(guesser, start + WINDOW / 2));
        assert!(!failures.is_blocked(other, start));
        assert!(!failures.is_blocked(guesser, start + WINDOW));
        failures.count(guesser, start + WINDOW);
        assert!(!failures.is_blocked(guesser, start + WINDOW), "the count starts anew");
    }

    #[test]
    fn the_router_says_who_asks() {
        let mut headers = HeaderMap::new();
        assert_eq!(client_of(&headers, &Extensions::new()), IpAddr::from([0, 0, 0, 0]));
        headers.insert("x-forwarded-for", "1.1.1.1, 2.2.2.2".parse().unwrap());
        assert_eq!(client_of(&headers, &Extensions::new()), IpAddr::from([2, 2, 2, 2]));
    }
}

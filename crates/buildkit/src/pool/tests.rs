//! Which daemon is picked as daemons go and come back. The daemons' health is set by hand.

use super::*;
use crate::daemon::Identity;

const PATIENCE: Duration = Duration::from_secs(20);

fn pool(builds_max: usize) -> Pool {
    let addresses = ["tcp://127.0.0.1:1", "tcp://127.0.0.1:2", "tcp://127.0.0.1:3"].map(str::to_owned);
    let pool = connect(&addresses, builds_max).unwrap();
    pool.daemons.iter().for_each(well);
    pool
}

fn well(daemon: &Daemon) {
    let worker = format!("disk of {}", daemon.name);
    daemon.health.set(Health::Well(Identity { version: "v0.33.1".to_owned(), worker }));
}

fn gone() -> SolveError {
    SolveError::Unavailable { message: "it is gone".to_owned() }
}

#[test]
fn addresses_are_checked() {
    let connect = |addresses: &[&str]| {
        let addresses: Vec<String> = addresses.iter().map(|it| (*it).to_owned()).collect();
        connect(&addresses, 4).map(|pool| pool.daemons.len()).map_err(|error| error.to_string())
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    assert_eq!(connect(&["tcp://a:1", " tcp://b:1", ""]), Ok(2));
    assert!(connect(&["tcp://a:1", "tcp://a:1"]).unwrap_err().contains("named twice"));
    assert!(connect(&["a:1"]).unwrap_err().contains("tcp://HOST:PORT"));
    assert!(connect(&[]).unwrap_err().contains("no BuildKit is named"));
}

#[tokio::test]
async fn an_application_stays_with_its_daemon_while_that_is_well_and_has_room() {
    let pool = pool(1);
    let own = pick(&pool, "app", PATIENCE).await.unwrap();
    let name = own.name().to_owned();
    assert_eq!(own.instead_of(), None);

    let other = pick(&pool, "app", PATIENCE).await.unwrap();
    assert_ne!(other.name(), name, "full");
    assert_eq!(other.instead_of(), Some(name.as_str()));
    drop(own);
    assert_eq!(pick(&pool, "app", PATIENCE).await.unwrap().name(), name, "it has room again");

    let own = pick(&pool, "app", PATIENCE).await.unwrap();
    assert_eq!(own.worker(), Some(format!("disk of {name}")));
    assert!(pool.with_room(&name).is_none() && pool.with_room(other.name()).is_none(), "full");
    assert!(!own.failed(&gone()).await);
    assert_eq!(own.worker(), None);
    drop((own, other));
    assert!(pool.with_room(&name).is_none(), "away");
    assert_eq!(pool.seen().filter(|it| pool.with_room(it.name).is_some()).count(), 2);
    let other = pick(&pool, "app", PATIENCE).await.unwrap();
    assert_ne!(other.name(), name, "away");
    well(pool.daemons.iter().find(|it| it.name == name).unwrap());
    assert_eq!(pick(&pool, "app", PATIENCE).await.unwrap().name(), name, "well again");

    let seen: Vec<Seen<'_>> = pool.seen().collect();
    assert_eq!(seen.iter().map(|it| it.active).sum::<usize>(), 1, "the one that is held");
    assert_eq!(seen.iter().map(|it| it.lost).sum::<u64>(), 1);
    assert_eq!(seen.iter().map(|it| it.spilled).sum::<u64>(), 2);
}

#[tokio::test]
async fn who_comes_while_all_are_away_waits_for_the_first_that_is_back() {
    let pool = pool(1);
    pool.daemons.iter().for_each(|it| drop(it.health.set(Health::Away("gone".to_owned()))));
    let back = async {
        tokio::task::yield_now().await;
        well(&pool.daemons[1]);
        pool.changed.notify_waiters();
    };
    let (picked, ()) = tokio::join!(pick(&pool, "app", PATIENCE), back);
    assert_eq!(picked.unwrap().name(), "tcp://127.0.0.1:2");

    pool.daemons[1].health.set(Health::Away("gone again".to_owned()));
    let error = pick(&pool, "app", Duration::from_millis(20)).await.unwrap_err();
    assert!(error.to_string().contains("tcp://127.0.0.1:2: gone again"), "{error}");
}

#[tokio::test]
async fn a_digest_that_does_not_fit_is_believed_the_second_time() {
    let pool = pool(4);
    let suspected = SolveError::CacheCorrupt { message: "digest mismatch".to_owned(), is_certain: false };
    let picked = pick(&pool, "app", PATIENCE).await.unwrap();
    let set_aside = || pool.seen().map(|it| it.set_aside).sum::<u64>();
    picked.failed(&suspected).await;
    assert_eq!(set_aside(), 0);
    picked.succeeded();
    picked.failed(&suspected).await;
    assert_eq!(set_aside(), 0, "it went well between them");
    picked.failed(&suspected).await;
    assert_eq!(set_aside(), 1);
    let certain = SolveError::CacheCorrupt { message: "blob not found".to_owned(), is_certain: true };
    assert!(!picked.failed(&certain).await, "nobody is there to drop it");
    assert_eq!(set_aside(), 2);
    let other = pick(&pool, "app", PATIENCE).await.unwrap();
    assert_ne!(other.name(), picked.name(), "setting it aside did not help: another daemon is better");
    picked.succeeded();
    assert_eq!(pick(&pool, "app", PATIENCE).await.unwrap().name(), picked.name());
}

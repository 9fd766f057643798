//! Putting packs together beside pushes.

use std::time::SystemTime;

use super::*;

/// Pushes of which every second one is forgotten again.
async fn many(server: &Server, count: usize) -> (Vec<Commit>, Vec<Commit>) {
    let (mut kept, mut forgotten) = (Vec::new(), Vec::new());
    let mut known: Vec<Commit> = Vec::new();
    for n in 0..count {
        let commit = server.commit(&n.to_string());
        let pin = server.push_well("main", &commit, &known.iter().collect::<Vec<_>>()).await;
        if n % 2 == 0 {
            kept.push(commit.clone());
        } else {
            server.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
            server.repository.delete_pins(&[pin]).unwrap();
            forgotten.push(commit);
            continue;
        }
        known = vec![commit];
    }
    (kept, forgotten)
}

fn age(server: &Server, days: u64) {
    let then = SystemTime::now() - Duration::from_secs(days * 86_400);
    for entry in files::entries(&server.repository.path.join("objects/pack")).unwrap() {
        fs::File::open(entry.path()).unwrap().set_modified(then).unwrap();
    }
}

#[tokio::test]
async fn many_packs_become_two_one_of_them_for_what_nothing_leads_to() {
    let server = Server::new();
    let (kept, forgotten) = many(&server, maintain::PACKS_MAX + 1).await;
    assert!(server.packs().len() > maintain::PACKS_MAX);
    age(&server, 10);
    server.repository.maintain().await.unwrap();
    assert_eq!(server.packs().len(), 2, "{:?}", server.packs());
    let all_there = |commits: &[Commit]| commits.iter().all(|it| server.repository.has(it));
    assert!(all_there(&kept) && all_there(&forgotten));
    server.assert_sound();
    let packs = server.packs();
    server.repository.maintain().await.unwrap();
    assert_eq!(server.packs(), packs, "two are few");
}

#[tokio::test]
async fn what_nothing_leads_to_is_dropped_late_and_never_from_under_a_push() {
    let server = Server::new();
    let (kept, forgotten) = many(&server, 6).await;
    age(&server, 20);
    let old = server.repository.packs().unwrap();
    let tips = server.repository.tips().unwrap();
    let new = server.repository.pack(&old, &tips).await.unwrap();
    // A push that brings nothing, since its commit was there: a moment ago nothing led to it.
    let again = server.push_well("main", &forgotten[0], &[&forgotten[0]]).await;
    server.repository.swap(&old, &new, &tips).unwrap();
    assert_eq!(server.repository.packs().unwrap(), old);
    assert!(server.repository.has(&again.commit));
    server.assert_sound();

    server.repository.repack(old).await.unwrap();
    assert_eq!(server.packs().len(), 1);
    assert!(server.repository.has(&again.commit) && kept.iter().all(|it| server.repository.has(it)));
    assert!(!server.repository.has(&forgotten[1]));
    server.assert_sound();
}

#[tokio::test]
async fn packing_waits_for_a_push_in_progress() {
    let server = Server::new();
    let (_, forgotten) = many(&server, 6).await;
    age(&server, 20);
    let packs = server.packs();
    let mut child = server.repository.receive_pack(PACK_MAX).unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let pin = Pin { push: Uuid::now_v7(), branch: "main".to_owned(), commit: forgotten[0].clone() };
    let request =
        request(&[], &pin.commit, &pin_name(pin.push, "main"), &server.pack(&pin.commit, &[&pin.commit]));
    stdin.write_all(&request[..40]).await.unwrap();

    let packing = server.repository.repack(server.repository.packs().unwrap());
    tokio::pin!(packing);
    while server.packs().len() == packs.len() {
        assert!(tokio::time::timeout(Duration::from_millis(10), &mut packing).await.is_err());
    }
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut packing).await.is_err());
    stdin.write_all(&request[40..]).await.unwrap();
    drop(stdin);
    child.wait().await.unwrap();
    packing.await.unwrap();
    assert_eq!(server.packs(), packs, "the push has brought a ref that was not known before");
    assert_eq!(server.repository.pins().unwrap().iter().filter(|it| **it == pin).count(), 1);
    server.assert_sound();
}

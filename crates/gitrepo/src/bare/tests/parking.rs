//! Children that wait for their push while the repository changes.

use super::*;

#[tokio::test]
async fn a_parked_child_sees_what_has_come_since() {
    let server = Server::new();
    let (one, two) = (server.commit("1"), server.commit("2"));
    let parked = server.repository.receive_pack(PACK_MAX).unwrap();
    server.push_well("main", &one, &[]).await;
    server.push_well("main", &one, &[&one]).await;
    // The packs that it might have seen are gone.
    server.repository.repack(server.repository.packs().unwrap()).await.unwrap();
    assert_eq!(server.repository.clean().unwrap(), 0);
    let name = pin_name(Uuid::now_v7(), "main");
    let request = request(&[], &two, &name, &server.pack(&two, &[&one]));
    talk(parked.lock().unwrap(), &request).await.assert_took(&name);
    assert!(server.repository.contains(&one, &two));
    server.assert_sound();
}

#[tokio::test]
async fn a_parked_child_is_in_nobody_s_way_until_it_is_given_a_push() {
    let server = Server::new();
    let parked = server.repository.receive_pack(PACK_MAX).unwrap();
    assert!(is_free(&server, MOMENT), "it holds no lock");
    let child = parked.lock().unwrap();
    assert!(!is_free(&server, Duration::ZERO), "nor does anything run beside it from then on");
    drop(child);
    assert!(is_free(&server, MOMENT), "without input it ends");
}

#[tokio::test]
async fn nothing_is_left_of_a_parked_child() {
    let server = Server::new();
    let mut killed = server.repository.receive_pack(PACK_MAX).unwrap();
    assert!(killed.is_alive());
    killed.kill().await;
    drop(server.repository.receive_pack(PACK_MAX).unwrap());
    assert_eq!(server.repository.clean().unwrap(), 0);
    fs::rename(server.repository.path.join("HEAD"), server.root.path().join("HEAD")).unwrap();
    let mut dying = server.repository.receive_pack(PACK_MAX).unwrap();
    while dying.is_alive() {
        tokio::task::yield_now().await;
    }
}

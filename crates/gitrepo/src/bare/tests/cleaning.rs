//! What killed processes leave, and that it is removed and no more than that.

use super::*;

#[tokio::test]
async fn what_was_left_is_removed_and_nothing_else() {
    let server = Server::new();
    let one = server.commit("1");
    let pin = server.push_well("main", &one, &[]).await;
    // Names that look like what is left, elsewhere.
    let odd = server.push_well("objects/pack/tmp_pack_1", &one, &[&one]).await;
    let odder = server.push_well("objects/pack/pack-1.rev", &one, &[&one]).await;
    server.repository.project(&[("pack/tmp_x".to_owned(), Some(one.clone()))]).unwrap();
    let at = |path: &str| server.repository.path.join(path);
    let pack = at("objects/pack").join(server.packs()[0].replace(".idx", ""));
    let mine = [
        ("objects/pack/pack-1.keep", "mine"),
        ("objects/pack/pack-1.idx", ""),
        ("objects/pack/pack-1.pack", ""),
    ];
    let left = [
        ("HEAD.lock", ""),
        ("shallow.lock", ""),
        ("packed-refs.lock", ""),
        ("refs/heads/main.lock", ""),
        ("refs/pushes/1/heads/main.lock", ""),
        ("objects/info/commit-graph.lock", ""),
        ("objects/tmp_objdir-incoming-x1/pack/tmp_pack_1", ""),
        ("objects/tmp_objdir-incoming-x1/pack/pack-3.keep", ""),
        ("objects/pack/tmp_pack_1", ""),
        ("objects/pack/tmp_idx_1", ""),
        ("objects/pack/.tmp-77-pack-1.pack", ""),
        ("objects/pack/pack-1.keep", "receive-pack 7 on host\n"),
        ("objects/pack/pack-2.pack", ""),
        ("objects/pack/pack-2.rev", ""),
    ];
    for (path, content) in mine.iter().skip(1).chain(&left) {
        fs::create_dir_all(at(path).parent().unwrap()).unwrap();
        fs::write(at(path), content).unwrap();
    }
    fs::create_dir_all(at("refs/pushes/2/heads/a/b")).unwrap();

    // A quarantine counts as one, and six folders are empty then.
    assert_eq!(server.repository.clean().unwrap(), left.len() - 1 + 6);
    for (path, _) in left {
        assert!(!at(path).exists(), "{path}");
    }
    for folder in ["objects/tmp_objdir-incoming-x1", "refs/pushes/1", "refs/pushes/2"] {
        assert!(!at(folder).exists(), "{folder}");
    }
    fs::write(at(mine[0].0), mine[0].1).unwrap();
    assert_eq!(server.repository.clean().unwrap(), 0);
    for (path, _) in mine {
        assert!(at(path).exists(), "{path}");
        fs::remove_file(at(path)).unwrap();
    }
    assert!(pack.with_extension("pack").exists());
    assert_eq!(server.repository.pins().unwrap(), [pin, odd, odder]);
    assert!(at("refs/heads/pack/tmp_x").exists());
    server.assert_sound();
}

#[tokio::test]
async fn a_child_that_outlives_its_receiver_holds_the_lock() {
    let server = Server::new();
    assert!(is_free(&server, MOMENT));
    let mut child = server.repository.receive_pack(PACK_MAX).unwrap();
    let stdin = child.stdin.take();
    drop(child);
    assert!(!is_free(&server, Duration::ZERO), "it lives, though nobody knows it");
    let repository = server.repository.clone();
    let cleaning = tokio::task::spawn_blocking(move || repository.clean());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!cleaning.is_finished());
    drop(stdin);
    cleaning.await.unwrap().unwrap();
    assert!(is_free(&server, MOMENT));
}

#[tokio::test]
async fn a_push_does_not_begin_while_the_repository_is_cleaned() {
    let server = Server::new();
    let lock = lock::alone(&server.repository.lock_file(), Duration::ZERO).unwrap().unwrap();
    let error = server.repository.receive_pack(PACK_MAX).unwrap_err();
    assert!(error.to_string().contains("being cleaned"), "{error}");
    drop(lock);
    let one = server.commit("1");
    server.push_well("main", &one, &[]).await;
}

/// How far a push is when its process is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    /// So many sixths of the request have been sent.
    Sent(usize),
    /// The pack is being read.
    Quarantined,
    /// The pack is on its way out of the quarantine.
    Stored,
    /// The pin is about to be made.
    Pinning,
}

#[tokio::test]
async fn a_killed_push_is_there_or_not_and_can_be_pushed_again() {
    let mut moments: Vec<Moment> = (0..6).map(Moment::Sent).collect();
    moments.extend([Moment::Quarantined, Moment::Stored, Moment::Pinning].repeat(4));
    let server = Server::new();
    let mut known: Vec<Commit> = Vec::new();
    for (round, moment) in moments.into_iter().enumerate() {
        let round = u32::try_from(round).unwrap();
        let noise = (0..3000).map(|n: u32| format!("{:x}", (n + round * 3000).wrapping_mul(2_654_435_761)));
        let commit = server.commit(&noise.collect::<String>());
        let known_there: Vec<_> = known.iter().collect();
        let killed = kill_at(&server, moment, &commit, &server.pack(&commit, &known_there)).await;
        server.repository.clean().unwrap();

        let taken = server.repository.pins().unwrap().into_iter().find(|pin| pin.push == killed);
        assert!(taken.is_none() || !matches!(moment, Moment::Sent(_)), "{moment:?}");
        assert!(taken.is_none_or(|pin| pin.commit == commit && server.repository.has(&commit)));
        // The index-pack of a killed receive-pack may go on for a moment, in a quarantine of its own.
        while server.repository.clean().unwrap() > 0 {}
        server.assert_sound();
        let pin = server.push_well("main", &commit, &known_there).await;
        assert!(server.repository.pins().unwrap().contains(&pin));
        known.push(commit);
    }
}

/// Gives the push's id. Who is too late kills nobody: then the push is there.
async fn kill_at(server: &Server, moment: Moment, commit: &Commit, pack: &[u8]) -> Uuid {
    let push = Uuid::now_v7();
    let request = request(&[], commit, &pin_name(push, "main"), pack);
    let stored = server.repository.path.join("objects/pack");
    let stored_before = files::entries(&stored).unwrap().len();
    let mut child = server.repository.receive_pack(PACK_MAX).unwrap();
    let mut stdin = child.stdin.take();
    let sent = if let Moment::Sent(sixths) = moment { request.len() * sixths / 6 } else { request.len() };
    stdin.as_mut().unwrap().write_all(&request[..sent]).await.unwrap();
    let is_here = || match moment {
        Moment::Sent(_) => true,
        Moment::Quarantined => {
            let objects = files::entries(&server.repository.path.join("objects")).unwrap();
            objects.iter().any(|it| it.file_name().to_string_lossy().starts_with("tmp_objdir-"))
        }
        Moment::Stored => files::entries(&stored).unwrap().len() > stored_before,
        Moment::Pinning => server.repository.path.join(format!("refs/pushes/{push}")).exists(),
    };
    while !is_here() && child.try_wait().unwrap().is_none() {}
    child.start_kill().ok();
    child.wait().await.unwrap();
    push
}

#[tokio::test]
async fn who_only_reads_is_not_waited_for() {
    let server = Server::new();
    let mut reading = server.repository.upload_pack(Asker::Client, None, false).unwrap();
    assert!(is_free(&server, MOMENT));
    reading.kill().await.unwrap();
}

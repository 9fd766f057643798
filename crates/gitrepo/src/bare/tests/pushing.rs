//! What `git receive-pack` takes and refuses, and what `git upload-pack` gives out.

use super::*;

#[tokio::test]
async fn a_push_becomes_a_pin() {
    let server = Server::new();
    let one = server.commit("1");
    let (push, answer) = server.push("main", &one, &[]).await;
    answer.assert_took(&pin_name(push, "main"));
    let two = server.commit("2");
    server.push_well("main", &two, &[&one]).await;
    assert_eq!(server.packs().len(), 2, "no loose objects");
    // The same again, which brings no objects.
    server.push_well("main", &two, &[&two]).await;
    assert_eq!(server.repository.pins().unwrap().len(), 3);
    server.assert_sound();
}

#[tokio::test]
async fn other_refs_are_refused() {
    let server = Server::new();
    let one = server.commit("1");
    for name in ["refs/replace/aa", "refs/notes/commits", "refs/slipway/x", "refs/pushesx/y"] {
        let request = request(&[], &one, name, &server.pack(&one, &[]));
        let answer = server.receive(PACK_MAX, &request).await;
        assert!(answer.report.contains(&format!("ng {name} deny updating a hidden ref")), "{answer:?}");
    }
}

#[tokio::test]
async fn a_pack_that_is_too_large_is_refused_with_words() {
    let server = Server::new();
    let noise: String = (0..40_000).map(|n: u32| format!("{:x}", n.wrapping_mul(2_654_435_761))).collect();
    let request = request(&[], &server.commit(&noise), "refs/pushes/1/heads/main", &server.pack_of_head());
    let answer = server.receive(10_000, &request).await;
    answer.assert_refused("pack exceeds maximum allowed size");
    assert!(server.repository.pins().unwrap().is_empty());
    server.receive(PACK_MAX, &request).await.assert_took("refs/pushes/1/heads/main");
}

#[tokio::test]
async fn a_pack_that_is_cut_off_leaves_no_pin() {
    let server = Server::new();
    let one = server.commit("1");
    let request = request(&[], &one, &pin_name(Uuid::from_u128(1), "main"), &server.pack(&one, &[]));
    server.receive(PACK_MAX, &request[..request.len() - 20]).await.assert_refused("early EOF");
    assert!(server.repository.pins().unwrap().is_empty());
}

/// Some bytes that say that they are much more.
#[tokio::test]
async fn a_pack_that_would_fill_the_memory_is_refused() {
    let server = Server::new();
    let one = server.commit("1");
    let objects = |count: u32| [&b"PACK\0\0\0\x02"[..], &count.to_be_bytes()].concat();
    // A tree of 64 GiB: four bits of its size, then seven at a time.
    let mut tree = objects(1);
    tree.extend([0xa0, 0x80, 0x80, 0x80, 0x80, 0x10]);
    tree.extend([0x78, 0x9c]);
    for pack in [objects(u32::MAX / 2), tree] {
        let padded = [pack, vec![0; 64]].concat();
        let request = request(&[], &one, &pin_name(Uuid::from_u128(1), "main"), &padded);
        server.receive(PACK_MAX, &request).await.assert_refused("over limit");
    }
}

#[tokio::test]
async fn a_shallow_clone_pushes() {
    let server = Server::new();
    let (one, two) = (server.commit("1"), server.commit("2"));
    // Only the newest commit, without its parent.
    let tree = server.git(&["rev-parse", "HEAD^{tree}"]);
    let blob = server.git(&["rev-parse", "HEAD:file"]);
    let pack =
        server.run(&["pack-objects", "--stdout", "--quiet"], format!("{two}\n{tree}\n{blob}\n").as_bytes());
    let name = pin_name(Uuid::from_u128(1), "main");
    let whole = request(&[], &two, &name, &pack);
    server.receive(PACK_MAX, &whole).await.assert_refused("did not receive expected object");
    server.receive(PACK_MAX, &request(&[&two], &two, &name, &pack)).await.assert_took(&name);
    assert!(server.repository.has(&two) && !server.repository.has(&one));
    assert!(!server.repository.contains(&one, &two));

    let three = server.commit("3");
    server.push_well("main", &three, &[&two]).await;
    assert!(server.repository.contains(&two, &three) && !server.repository.contains(&one, &three));
    server.assert_sound();
    // With all of its history, later.
    server.push_well("main", &three, &[]).await;
    assert!(server.repository.has(&one));
}

async fn fetch(server: &Server, asker: Asker, commit: &Commit) -> Vec<u8> {
    let want = pkt(&format!("want {commit} ofs-delta\n"));
    let request = format!("{want}0000{}", pkt("done\n"));
    output(server.repository.upload_pack(asker, None, false).unwrap(), request.as_bytes()).await
}

async fn output(mut child: Child, input: &[u8]) -> Vec<u8> {
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input).await.unwrap();
    drop(stdin);
    child.wait_with_output().await.unwrap().stdout
}

#[tokio::test]
async fn pins_are_hidden_from_clients_and_given_to_builders_by_id() {
    let server = Server::new();
    let (one, two) = (server.commit("1"), server.commit("2"));
    let pin = server.push_well("main", &two, &[]).await;
    server.repository.project(&[("main".to_owned(), Some(one.clone()))]).unwrap();

    for asker in [Asker::Client, Asker::Builder] {
        let child = server.repository.upload_pack(asker, None, true).unwrap();
        let said = String::from_utf8(output(child, b"").await).unwrap();
        assert!(said.contains(&format!("{one} refs/heads/main\n")), "{said}");
        assert!(
            said.contains(&format!("{one} HEAD\0")) && said.contains("symref=HEAD:refs/heads/main"),
            "{said}"
        );
        assert!(!said.contains("refs/pushes") && !said.contains(two.as_str()), "{said}");
        assert!(!said.contains("refs/pushes") && !said.contains(pin.push.to_string().as_str()), "{said}");
    }
    let is_pack = |bytes: &[u8]| bytes.starts_with(b"0008NAK\nPACK");
    assert!(is_pack(&fetch(&server, Asker::Client, &one).await));
    assert!(is_pack(&fetch(&server, Asker::Builder, &two).await));
    let refused = fetch(&server, Asker::Client, &two).await;
    assert!(String::from_utf8_lossy(&refused).contains("not our ref"), "{refused:?}");
}

#[tokio::test]
async fn the_protocol_is_the_client_s_choice() {
    let server = Server::new();
    let main = server.commit("1");
    server.push_well("main", &main, &[]).await;
    server.repository.project(&[("main".to_owned(), Some(main.clone()))]).unwrap();
    let list = format!("{}0001{}0000", pkt("command=ls-refs\n"), pkt("ref-prefix refs/\n"));
    let child = server.repository.upload_pack(Asker::Client, Some("version=2"), false).unwrap();
    let said = String::from_utf8(output(child, list.as_bytes()).await).unwrap();
    assert_eq!(said, format!("{}0000", pkt(&format!("{main} refs/heads/main\n"))));
    for (protocol, expected) in
        [("version=2", "version 2\n"), ("version=1", "version 1\n"), ("version=2:x", "refs/heads")]
    {
        let child = server.repository.upload_pack(Asker::Client, Some(protocol), true).unwrap();
        let said = String::from_utf8(output(child, b"").await).unwrap();
        assert!(said.contains(expected), "{protocol}: {said}");
        assert_eq!(said.contains("version 2\n"), protocol == "version=2");
    }
}

impl Server {
    fn pack_of_head(&self) -> Vec<u8> {
        self.pack(&Commit::parse(&self.git(&["rev-parse", "HEAD"])).unwrap(), &[])
    }
}

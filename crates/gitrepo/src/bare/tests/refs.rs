//! Pins, the projection of branches, tags, ancestry.

use super::*;

fn heads(server: &Server) -> Vec<(String, String)> {
    let repository = server.repository.open().unwrap();
    let mut heads = Vec::new();
    for reference in repository.references_glob("refs/heads/*").unwrap() {
        let reference = reference.unwrap();
        heads.push((reference.name().unwrap().to_owned(), reference.target().unwrap().to_string()));
    }
    heads.sort();
    heads
}

fn head(server: &Server) -> String {
    fs::read_to_string(server.repository.path.join("HEAD")).unwrap().trim().to_owned()
}

fn shown(name: &str, commit: &Commit) -> (String, String) {
    (format!("refs/heads/{name}"), commit.to_string())
}

fn is(name: &str, commit: &Commit) -> (String, Option<Commit>) {
    (name.to_owned(), Some(commit.clone()))
}

#[tokio::test]
async fn pins_are_listed_and_deleted() {
    let server = Server::new();
    let one = server.commit("1");
    let first = server.push_well("main", &one, &[]).await;
    let second = server.push_well("feature/x/y", &server.commit("2"), &[&one]).await;
    // A pin may be made of anything; what is built is a commit.
    let tree = Commit::parse(&server.git(&["rev-parse", "HEAD^{tree}"])).unwrap();
    let third = server.push_well("main", &tree, &[]).await;
    assert_eq!(server.repository.pins().unwrap(), [first.clone(), second.clone(), third.clone()]);
    assert!(server.repository.has(&one) && !server.repository.has(&tree));
    assert!(heads(&server).is_empty());

    server.repository.delete_pins(&[second.clone(), second.clone(), third]).unwrap();
    assert_eq!(server.repository.pins().unwrap(), std::slice::from_ref(&first));
    let left: Vec<_> = fs::read_dir(server.repository.path.join("refs/pushes")).unwrap().collect();
    assert_eq!(left.len(), 1, "folders of deleted pins are gone: {left:?}");
    server.repository.delete_pins(&[first]).unwrap();
    assert!(server.repository.pins().unwrap().is_empty());
    server.push_well("main", &one, &[]).await;
}

#[tokio::test]
async fn branches_become_what_they_are_said_to_be() {
    let server = Server::new();
    let repository = &server.repository;
    let (one, two) = (server.commit("1"), server.commit("2"));
    server.push_well("main", &two, &[]).await;
    assert!(repository.project(&[is("main", &one), is("a", &one), ("new".to_owned(), None)]).unwrap());
    assert_eq!(heads(&server), [shown("a", &one), shown("main", &one)]);
    assert!(!repository.project(&[is("a", &one), is("main", &one)]).unwrap(), "nothing differs");

    let modified = || fs::metadata(repository.path.join("refs/heads/main")).unwrap().modified().unwrap();
    let before = modified();
    assert!(repository.project(&[is("main", &one), is("a/b", &two)]).unwrap());
    assert_eq!(heads(&server), [shown("a/b", &two), shown("main", &one)]);
    assert_eq!(modified(), before);
    assert!(repository.project(&[is("main", &two), is("a", &two)]).unwrap());
    assert_eq!(heads(&server), [shown("a", &two), shown("main", &two)]);
    assert!(repository.project(&[]).unwrap());
    assert!(heads(&server).is_empty());
    server.assert_sound();
}

#[tokio::test]
async fn a_branch_that_cannot_be_shown_does_not_hide_the_others() {
    let server = Server::new();
    let repository = &server.repository;
    let one = server.commit("1");
    server.push_well("main", &one, &[]).await;
    let never = Commit::parse(&"ab".repeat(20)).unwrap();
    let sha256 = Commit::parse(&"ab".repeat(32)).unwrap();
    let wanted = [
        is("gone", &never),
        is("long", &sha256),
        is("a..b", &one),
        is("x", &one),
        is("x/y", &one),
        is("main", &one),
    ];
    assert!(repository.project(&wanted).unwrap());
    assert_eq!(heads(&server), [shown("main", &one), shown("x", &one)]);
    assert!(!repository.project(&wanted).unwrap());

    // What a power failure may leave of a ref.
    fs::write(repository.path.join("refs/heads/main"), "").unwrap();
    assert!(repository.project(&wanted).unwrap());
    assert_eq!(heads(&server), [shown("main", &one), shown("x", &one)]);
}

#[tokio::test]
async fn head_is_a_branch_that_is_there() {
    let server = Server::new();
    let one = server.commit("1");
    server.push_well("main", &one, &[]).await;
    for (branches, expected) in [
        (vec!["trunk", "zebra"], "trunk"),
        (vec!["a", "master"], "master"),
        (vec!["a", "main", "master"], "main"),
        (vec![], "main"),
    ] {
        let wanted: Vec<_> = branches.iter().map(|it| is(it, &one)).collect();
        assert!(server.repository.project(&wanted).unwrap());
        assert_eq!(head(&server), format!("ref: refs/heads/{expected}"));
    }
}

#[tokio::test]
async fn tags_are_named_in_full() {
    let server = Server::new();
    let one = server.commit("1");
    server.git(&["tag", "--annotate", "--message", "first", "v1"]);
    let tag = Commit::parse(&server.git(&["rev-parse", "v1"])).unwrap();
    let request = request(&[], &tag, "refs/tags/v1", &server.pack(&tag, &[]));
    server.receive(PACK_MAX, &request).await.assert_took("refs/tags/v1");
    assert_eq!(server.repository.tags().unwrap(), [("refs/tags/v1".to_owned(), tag)]);
    assert!(server.repository.has(&one));
}

#[tokio::test]
async fn what_contains_what() {
    let server = Server::new();
    let (one, two) = (server.commit("1"), server.commit("2"));
    server.git(&["checkout", "--quiet", "-b", "side", one.as_str()]);
    let side = server.commit("side");
    server.push_well("main", &two, &[]).await;
    server.push_well("side", &side, &[&one]).await;
    let never = Commit::parse(&"ab".repeat(20)).unwrap();
    for (ancestor, descendant, expected) in [
        (&one, &two, true),
        (&one, &side, true),
        (&one, &one, true),
        (&two, &one, false),
        (&two, &side, false),
        (&never, &two, false),
        (&one, &never, false),
        (&never, &never, false),
    ] {
        assert_eq!(server.repository.contains(ancestor, descendant), expected, "{ancestor} {descendant}");
    }
}

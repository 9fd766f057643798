//! Packs of objects that no git of a user makes: what is missing in them, or not what others say that it is.

use super::*;

#[tokio::test]
async fn objects_that_lie_about_their_kind() {
    let server = Server::new();
    let one = server.commit("1");
    server.take(&one, &[]);
    let (old_tree, blob) = (server.git(&["rev-parse", "HEAD:"]), server.git(&["rev-parse", "HEAD:file"]));
    let as_file = server.object(ObjectType::Tree, &tree(&[("100644", "a", &old_tree)]));
    let as_folder = server.object(ObjectType::Tree, &tree(&[("40000", "a", &blob)]));
    for (what, id, objects) in [
        ("a tree for a file", server.commit_of(&as_file, one.as_str()), vec![as_file.as_str()]),
        ("a file for a tree", server.commit_of(&as_folder, one.as_str()), vec![as_folder.as_str()]),
        ("a file for all", server.commit_of(&blob, one.as_str()), vec![]),
        ("a tree for a parent", server.commit_of(&old_tree, &old_tree), vec![]),
    ] {
        let pack = server.pack_of(&[&[id.as_str()][..], &objects].concat());
        server.assert_for_git(what, &Commit::parse(&id).unwrap(), &pack, false).await;
    }
}

#[tokio::test]
async fn objects_that_are_two_things_at_once() {
    let server = Server::new();
    let one = server.commit("1");
    server.take(&one, &[]);
    let (old_tree, file) = (server.git(&["rev-parse", "HEAD:"]), server.object(ObjectType::Blob, b"2"));
    let both = server.object(ObjectType::Tree, &tree(&[("100644", "a", &file), ("40000", "b", &file)]));
    let plain = server.object(ObjectType::Tree, &tree(&[("100644", "a", &file)]));
    let parents = |second: &str| format!("{one}\nparent {second}");
    // Git lets a ref lead to anything.
    let tag = git2::Repository::open(&server.repository.path).unwrap();
    tag.reference("refs/tags/tree", Oid::from_str(&old_tree).unwrap(), false, "").unwrap();
    for (what, id, objects) in [
        ("a file and a folder", server.commit_of(&both, one.as_str()), vec![&both, &file]),
        ("a tree and a parent", server.commit_of(&plain, &parents(&plain)), vec![&plain, &file]),
        ("a tag's tree for a parent", server.commit_of(&plain, &parents(&old_tree)), vec![&plain, &file]),
    ] {
        let ids: Vec<&str> = [&id].into_iter().chain(objects).map(String::as_str).collect();
        let pack = server.pack_of(&ids);
        server.assert_for_git(what, &Commit::parse(&id).unwrap(), &pack, false).await;
    }
}

/// Two folders that change their places, each of which has what is missing in common with the other.
#[tokio::test]
async fn what_is_missing_is_missing_in_the_parent_as_well() {
    let server = Server::new();
    let [blob, other] = [b"1", b"2"].map(|it| server.object(ObjectType::Blob, it));
    let missing = "1".repeat(40);
    let folder = |file: &str| {
        server.object(ObjectType::Tree, &tree(&[("100644", "file", file), ("100644", "missing", &missing)]))
    };
    let (left, right) = (folder(&blob), folder(&other));
    let root = |left: &str, right: &str| {
        server.object(ObjectType::Tree, &tree(&[("40000", "left", left), ("40000", "right", right)]))
    };
    let (before, after) = (root(&left, &right), root(&right, &left));
    let first = server.object(ObjectType::Commit, format!("tree {before}\n{WHO}").as_bytes());
    let second = server.commit_of(&after, &first);
    let pack = server.pack_of(&[&second, &after, &first, &before, &left, &right, &blob, &other]);
    server.assert_for_git("missing in both", &Commit::parse(&second).unwrap(), &pack, false).await;
}

#[tokio::test]
async fn in_the_place_of_a_large_folder() {
    let server = Server::new();
    let file = server.object(ObjectType::Blob, b"1");
    let names: Vec<String> = (0..150_000).map(|n| format!("{n:06}")).collect();
    let entries: Vec<_> = names.iter().map(|name| ("100644", name.as_str(), file.as_str())).collect();
    let (large, small) = (tree(&entries), tree(&entries[..1]));
    let [large, small] = [large, small].map(|it| server.object(ObjectType::Tree, &it));
    let [before, after] = [&large, &small]
        .map(|it| server.object(ObjectType::Tree, &tree(&[("40000", "folder", it), ("100644", "x", &file)])));
    let first = server.object(ObjectType::Commit, format!("tree {before}\n{WHO}").as_bytes());
    let (one, two) = (Commit::parse(&first).unwrap(), server.commit_of(&after, &first));
    server.assert_for_git("large", &one, &server.pack(&one, &[]), true).await;
    let pack = server.pack_of(&[&two, &after, &small]);
    server.assert_for_git("small beside it", &Commit::parse(&two).unwrap(), &pack, true).await;
}

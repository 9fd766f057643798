//! What is cut where, and that nothing gets lost.

use super::*;
use crate::tree::Tree;

fn tree(files: impl IntoIterator<Item = String>) -> Tree {
    let mut entries = BTreeMap::new();
    for path in files {
        let mut parent = path.as_str();
        while let Some((above, _)) = parent.rsplit_once('/') {
            entries.insert(above.to_owned(), Kind::Directory);
            parent = above;
        }
        entries.insert(path, Kind::File);
    }
    let entry = |(path, kind)| Entry { path, kind, size: 1, link: String::new() };
    Tree::new(entries.into_iter().map(entry).collect())
}

fn cut(tree: &Tree) -> Vec<Part> {
    let entries: Vec<&Entry> = tree.entries().iter().collect();
    let parts = split(&entries);
    let mut files: Vec<usize> = parts.iter().flat_map(|it| it.places.clone()).collect();
    files.retain(|place| entries[*place].kind != Kind::Directory);
    files.sort_unstable();
    let all = entries.iter().enumerate().filter(|(_, it)| it.kind != Kind::Directory).map(|(place, _)| place);
    assert_eq!(files, all.collect::<Vec<_>>(), "each file is in one part");
    for part in &parts {
        for place in &part.places {
            if let Some((parent, _)) = entries[*place].path.rsplit_once('/') {
                assert!(
                    part.places.iter().any(|it| entries[*it].path == parent),
                    "{parent} of {}",
                    part.name
                );
            }
        }
    }
    parts
}

#[test]
fn a_small_context_stays_whole() {
    let small = tree((0..500).map(|n| format!("d{}/f{n}", n % 5)));
    assert_eq!(split(&small.entries().iter().collect::<Vec<_>>()), []);
}

#[test]
fn large_directories_are_parts_of_their_own() {
    let files = (0..1000).map(|n| format!("web/f{n}")).chain((0..1000).map(|n| format!("api/f{n}")));
    let parts = cut(&tree(files.chain(["Dockerfile".to_owned(), "docs/a".to_owned()])));
    let names: Vec<&str> = parts.iter().map(|it| it.name.as_str()).collect();
    assert!(names.contains(&"files in web") && names.contains(&"files in api"), "{names:?}");
    assert!(parts.len() <= PARTS_MAX, "{names:?}");
}

#[test]
fn one_large_directory_is_taken_apart() {
    let parts = cut(&tree((0..4000).map(|n| format!("src/m{}/d{}/f{n}", n % 40, n % 3))));
    assert!((8..=PARTS_MAX).contains(&parts.len()), "{}", parts.len());
    assert!(
        parts.iter().all(|it| it.places.len() < 1200),
        "{:?}",
        parts.iter().map(|it| it.places.len()).collect::<Vec<_>>()
    );
}

#[test]
fn a_new_directory_moves_no_other() {
    let files = || (0..6000).map(|n| format!("d{}/f{n}", n % 30));
    let (before, after) = (tree(files()), tree(files().chain(["new/f".to_owned()])));
    let place = |tree: &Tree, path: &str| {
        let at = tree.position(path).unwrap();
        cut(tree).into_iter().find(|it| it.places.contains(&at)).unwrap().name
    };
    for path in ["d0/f0", "d7/f7", "d29/f29"] {
        assert_eq!(place(&before, path), place(&after, path), "{path}");
    }
}

#[test]
fn directories_with_nothing_in_them_are_kept() {
    let mut entries = tree((0..2000).map(|n| format!("d{}/f{n}", n % 30))).entries().to_vec();
    entries.push(Entry { path: "empty".to_owned(), kind: Kind::Directory, size: 0, link: String::new() });
    let tree = Tree::new(entries);
    let at = tree.position("empty").unwrap();
    assert!(cut(&tree).iter().any(|it| it.places.contains(&at)));
}

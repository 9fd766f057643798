//! What one commit has and another has not, as a pack made and read in this process: quicker than two gits that talk.

use std::collections::HashSet;
use std::io::Write as _;

use git2::{Buf, ObjectType, Oid, Repository};

use crate::GitError;

/// Beyond either, git itself does it as well.
const OBJECTS_MAX: usize = 5_000;
const BYTES_MAX: usize = 32 << 20;

/// The objects of the commit `want`, without those of the first of `have` that is known here. `None`: none of them is
/// known, or there is too much to send.
pub(crate) fn make(repository: &Repository, want: Oid, have: &[Oid]) -> Result<Option<Vec<u8>>, GitError> {
    let Some(base) = have.iter().find_map(|id| repository.find_commit(*id).ok()) else { return Ok(None) };
    let Ok(commit) = repository.find_commit(want) else { return Ok(None) };
    let Some(mut objects) = missing(repository, commit.tree_id(), base.tree_id())? else { return Ok(None) };
    objects.insert(want);
    let mut builder = repository.packbuilder()?;
    builder.set_threads(1);
    for object in objects {
        builder.insert_object(object, None)?;
    }
    let mut pack = Buf::new();
    builder.write_buf(&mut pack)?;
    Ok(Some(pack.to_vec()))
}

/// What `tree` holds and `base` does not at the same place. Without recursion: how deep directories nest is for
/// whoever pushes to say.
fn missing(repository: &Repository, tree: Oid, base: Oid) -> Result<Option<HashSet<Oid>>, GitError> {
    let odb = repository.odb()?;
    let (mut objects, mut bytes) = (HashSet::new(), 0);
    let mut pairs = vec![(tree, Some(base))];
    while let Some((tree, base)) = pairs.pop() {
        if Some(tree) == base || !objects.insert(tree) {
            continue;
        }
        let base = base.map(|id| repository.find_tree(id)).transpose()?;
        for entry in &repository.find_tree(tree)? {
            let before = base.as_ref().and_then(|base| base.get_name_bytes(entry.name_bytes()));
            if before.as_ref().is_some_and(|before| before.id() == entry.id()) {
                continue;
            }
            match entry.kind() {
                Some(ObjectType::Tree) => {
                    let before = before.filter(|it| it.kind() == Some(ObjectType::Tree)).map(|it| it.id());
                    pairs.push((entry.id(), before));
                }
                Some(ObjectType::Blob) if objects.insert(entry.id()) => {
                    bytes += odb.read_header(entry.id())?.0;
                }
                _ => {}
            }
            if objects.len() > OBJECTS_MAX || bytes > BYTES_MAX {
                return Ok(None);
            }
        }
    }
    Ok(Some(objects))
}

/// Stores a pack's objects, which are checked on the way.
pub(crate) fn take(repository: &Repository, pack: &[u8]) -> Result<(), GitError> {
    let odb = repository.odb()?;
    let mut writer = odb.packwriter()?;
    writer.write_all(pack)?;
    writer.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use git2::Signature;
    use tempfile::TempDir;

    use super::*;

    fn repository() -> (TempDir, Repository) {
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository::init_bare(folder.path()).unwrap();
        (folder, repository)
    }

    /// A commit without parents: `a`, `same/b` and `other/c`.
    fn commit(repository: &Repository, a: &str, c: &str) -> Oid {
        let directory = |name: &str, content: &str| {
            let mut tree = repository.treebuilder(None).unwrap();
            tree.insert(name, repository.blob(content.as_bytes()).unwrap(), 0o100_644).unwrap();
            tree.write().unwrap()
        };
        let mut root = repository.treebuilder(None).unwrap();
        root.insert("a", repository.blob(a.as_bytes()).unwrap(), 0o100_644).unwrap();
        root.insert("same", directory("b", "b"), 0o040_000).unwrap();
        root.insert("other", directory("c", c), 0o040_000).unwrap();
        let tree = repository.find_tree(root.write().unwrap()).unwrap();
        let who = Signature::now("a", "a@example.com").unwrap();
        repository.commit(None, &who, &who, "m", &tree, &[]).unwrap()
    }

    #[test]
    fn only_what_differs_travels() {
        let ((_from, from), (_to, to)) = (repository(), repository());
        let old = commit(&from, "1", "1");
        assert_eq!(commit_tree(&from, old), commit_tree(&to, commit(&to, "1", "1")));
        let new = commit(&from, "2", "1");
        let tree = from.find_commit(new).unwrap().tree_id();
        let objects = missing(&from, tree, commit_tree(&from, old)).unwrap().unwrap();
        assert_eq!(objects.len(), 2, "the root and the file: {objects:?}");

        let pack = make(&from, new, &[Oid::ZERO_SHA1, old]).unwrap().unwrap();
        take(&to, &pack).unwrap();
        let arrived = to.find_commit(new).unwrap().tree().unwrap();
        let a = arrived.get_name("a").unwrap().to_object(&to).unwrap();
        assert_eq!(a.as_blob().unwrap().content(), b"2");
    }

    fn commit_tree(repository: &Repository, commit: Oid) -> Oid {
        repository.find_commit(commit).unwrap().tree_id()
    }

    #[test]
    fn without_a_known_commit_there_is_no_pack() {
        let (_folder, from) = repository();
        let new = commit(&from, "1", "1");
        assert!(make(&from, new, &[]).unwrap().is_none());
        assert!(make(&from, Oid::ZERO_SHA1, &[new]).unwrap().is_none());
    }

    #[test]
    fn a_damaged_pack_is_refused() {
        let (_folder, from) = repository();
        let (old, new) = (commit(&from, "1", "1"), commit(&from, "2", "1"));
        let mut pack = make(&from, new, &[old]).unwrap().unwrap();
        let middle = pack.len() / 2;
        pack[middle] ^= 1;
        let (_folder, to) = repository();
        assert!(take(&to, &pack).is_err());
        assert!(to.find_commit(new).is_err());
    }
}

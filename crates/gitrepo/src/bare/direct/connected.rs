//! Whether all that a pushed commit leads to is there and as it should be. What a ref leads to was judged when it came.

use std::collections::{HashMap, HashSet};

use git2::{ObjectType, Odb, Oid, Repository};

use super::sound::{self, Entry, Kind};
use super::unpack::Objects;

/// So many entries of trees are looked at: a change of some files in large directories needs some thousands.
const ENTRIES_MAX: usize = 50_000;

struct Look<'a> {
    repository: &'a Repository,
    odb: &'a Odb<'a>,
    objects: &'a Objects,
    seen: HashSet<Oid>,
    entries: usize,
}

/// `None`: something is missing, not plain, or rare. Everything in `objects` is needed for the commit `new`.
pub(super) fn connected(repository: &Repository, odb: &Odb<'_>, objects: &Objects, new: Oid) -> Option<()> {
    let mut look = Look { repository, odb, objects, seen: HashSet::new(), entries: 0 };
    let mut next = vec![new];
    while let Some(id) = next.pop() {
        if look.objects.contains_key(&id) {
            if look.seen.insert(id) {
                next.extend(look.commit(id)?);
            }
        } else if !look.is_tip(id) {
            return None;
        }
    }
    objects.keys().all(|id| look.seen.contains(id)).then_some(())
}

impl Look<'_> {
    /// The parents of a commit that is just coming.
    fn commit(&mut self, id: Oid) -> Option<Vec<Oid>> {
        let (tree, parents) = sound::commit(&self.bytes(id, ObjectType::Commit)?)?;
        // What the first parent has in the same place is complete: it was before, or it is looked at as well.
        let before = match parents.first() {
            Some(parent) => Some(sound::commit(&self.bytes(*parent, ObjectType::Commit)?)?.0),
            None => None,
        };
        self.tree(tree, before)?;
        Some(parents)
    }

    /// Without recursion: how deep directories nest is for whoever pushes to say.
    fn tree(&mut self, tree: Oid, before: Option<Oid>) -> Option<()> {
        let mut next = vec![(tree, before)];
        while let Some((id, before)) = next.pop() {
            if before == Some(id) || !self.seen.insert(id) {
                continue;
            }
            let bytes = self.bytes(id, ObjectType::Tree)?;
            let old_bytes = before.and_then(|id| self.bytes(id, ObjectType::Tree)).unwrap_or_default();
            let old = sound::tree(&old_bytes).unwrap_or_default();
            let old: HashMap<&[u8], &Entry<'_>> = old.iter().map(|entry| (entry.name, entry)).collect();
            for entry in sound::tree(&bytes)? {
                self.entries += 1;
                let old = old.get(entry.name);
                if self.entries > ENTRIES_MAX {
                    return None;
                } else if old.is_some_and(|old| old.is_same(&entry)) {
                    continue;
                } else if !entry.is_plain() {
                    return None;
                } else if entry.kind == Kind::Directory {
                    next.push((entry.id, old.filter(|it| it.kind == Kind::Directory).map(|it| it.id)));
                } else if !self.is_blob(entry.id) {
                    return None;
                } else {
                    self.seen.insert(entry.id);
                }
            }
        }
        Some(())
    }

    fn bytes(&self, id: Oid, kind: ObjectType) -> Option<Vec<u8>> {
        if let Some(object) = self.objects.get(&id) {
            return (object.kind == kind).then(|| object.bytes.clone());
        }
        let object = self.odb.read(id).ok()?;
        (object.kind() == kind).then(|| object.data().to_vec())
    }

    fn is_blob(&self, id: Oid) -> bool {
        match self.objects.get(&id) {
            Some(object) => object.kind == ObjectType::Blob,
            None => self.odb.read_header(id).is_ok_and(|(_, kind)| kind == ObjectType::Blob),
        }
    }

    /// Whether a ref leads there.
    fn is_tip(&self, id: Oid) -> bool {
        let Ok(references) = self.repository.references() else { return false };
        references.flatten().any(|reference| reference.target() == Some(id))
    }
}

//! Whether all that a pushed commit leads to is there and as it should be. What a ref leads to was judged when it came.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use git2::{ObjectType, Odb, Oid, Repository};

use super::sound::{self, Entry, Kind};
use super::unpack::{self, Objects};

/// So much of commits and trees is looked at, of new ones and of those before them: a change of some files in large
/// directories needs some hundred kilobytes.
const BYTES_MAX: usize = 4 << 20;

struct Look<'a> {
    odb: &'a Odb<'a>,
    objects: &'a Objects,
    /// And what each of them is.
    seen: HashMap<Oid, ObjectType>,
    room: usize,
}

/// `None`: something is missing, not plain, or rare. Everything in `objects` is needed for the commit `new`.
pub(super) fn connected(repository: &Repository, odb: &Odb<'_>, objects: &Objects, new: Oid) -> Option<()> {
    let mut look = Look { odb, objects, seen: HashMap::new(), room: BYTES_MAX };
    // There may be many refs, and many parents to look for: each ref is read once, and not before it is needed.
    let mut tips = repository.references().ok()?.flatten().filter_map(|it| it.target());
    let mut passed = HashSet::new();
    let mut is_tip = |id: Oid| {
        passed.contains(&id)
            || tips.any(|tip| {
                passed.insert(tip);
                tip == id
            })
    };
    // What each commit's tree is, and its first parent.
    let mut commits: HashMap<Oid, (Oid, Option<Oid>)> = HashMap::new();
    let mut next = vec![(new, false)];
    while let Some((id, are_parents_done)) = next.pop() {
        if are_parents_done {
            let (tree, parent) = *commits.get(&id)?;
            look.tree(tree, parent.and_then(|it| commits.get(&it)).map(|(tree, _)| *tree))?;
        } else if !objects.contains_key(&id) && !is_tip(id) {
            return None;
        } else if look.is_new(id, ObjectType::Commit)? {
            let (tree, parents) = sound::commit(&look.bytes(id, ObjectType::Commit)?)?;
            commits.insert(id, (tree, parents.first().copied()));
            if objects.contains_key(&id) {
                // What it has in common with its first parent is looked at there, and not the other way round.
                next.push((id, true));
                next.extend(parents.into_iter().map(|parent| (parent, false)));
            }
        }
    }
    objects.keys().all(|id| look.seen.contains_key(id)).then_some(())
}

impl<'a> Look<'a> {
    /// A tree that just comes, beside what is in its place in the first parent and complete. Without recursion: how deep
    /// directories nest is for whoever pushes to say.
    fn tree(&mut self, tree: Oid, before: Option<Oid>) -> Option<()> {
        let mut next = vec![(tree, before)];
        while let Some((id, before)) = next.pop() {
            if before == Some(id) || !self.is_new(id, ObjectType::Tree)? {
                continue;
            }
            let bytes = self.bytes(id, ObjectType::Tree)?;
            let old_bytes = match before {
                Some(id) => self.bytes(id, ObjectType::Tree)?,
                None => Cow::default(),
            };
            let old = sound::tree(&old_bytes).unwrap_or_default();
            let old: HashMap<&[u8], &Entry<'_>> = old.iter().map(|entry| (entry.name, entry)).collect();
            for entry in sound::tree(&bytes)? {
                let old = old.get(entry.name);
                if old.is_some_and(|old| old.is_same(&entry)) {
                    continue;
                } else if !entry.is_plain() {
                    return None;
                } else if entry.kind == Kind::Directory {
                    next.push((entry.id, old.filter(|it| it.kind == Kind::Directory).map(|it| it.id)));
                } else if self.is_new(entry.id, ObjectType::Blob)? && !self.is_blob(entry.id) {
                    return None;
                }
            }
        }
        Some(())
    }

    /// Whether it was not seen before. `None`: it was, as something else.
    fn is_new(&mut self, id: Oid, kind: ObjectType) -> Option<bool> {
        let before = self.seen.insert(id, kind);
        before.is_none_or(|it| it == kind).then_some(before.is_none())
    }

    fn bytes(&mut self, id: Oid, kind: ObjectType) -> Option<Cow<'a, [u8]>> {
        if let Some(object) = self.objects.get(&id) {
            self.room = self.room.checked_sub(object.bytes.len())?;
            return (object.kind == kind).then_some(Cow::Borrowed(&object.bytes));
        }
        let object = unpack::known(self.odb, id, &mut self.room)?;
        (object.kind == kind).then_some(Cow::Owned(object.bytes))
    }

    fn is_blob(&self, id: Oid) -> bool {
        match self.objects.get(&id) {
            Some(object) => object.kind == ObjectType::Blob,
            None => self.odb.read_header(id).is_ok_and(|(_, kind)| kind == ObjectType::Blob),
        }
    }
}

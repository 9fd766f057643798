//! What was found so far, by the path of the file that tells it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::os::Release;
use crate::package::Package;

/// More than a distribution with all its desktops has.
pub(crate) const PACKAGES_MAX: usize = 25_000;

/// The state of an image's files after some of its layers, as far as they tell of packages.
#[derive(Clone, Debug, Default)]
pub struct Found {
    files: BTreeMap<String, Arc<Content>>,
    size: usize,
    /// Packages that there was no room for, also of layers below.
    left_out: usize,
}

/// What one file tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) packages: Vec<Package>,
    pub(crate) release: Option<Release>,
    /// Why it does not tell all.
    pub(crate) fault: Option<String>,
}

impl Content {
    fn size(&self) -> usize {
        self.packages.len().max(1)
    }
}

impl Found {
    /// How much there is to keep: about as many packages.
    pub fn size(&self) -> usize {
        self.size
    }

    pub(crate) fn left_out(&self) -> usize {
        self.left_out
    }

    /// By path.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &Content)> {
        self.files.iter().map(|(path, content)| (path.as_str(), &**content))
    }

    pub(crate) fn get(&self, path: &str) -> Option<Arc<Content>> {
        self.files.get(path).cloned()
    }

    /// The file itself.
    pub(crate) fn forget(&mut self, path: &str) {
        if let Some(content) = self.files.remove(path) {
            self.size -= content.size();
        }
    }

    /// All that is in the folder; with an empty name, everything.
    pub(crate) fn forget_inside(&mut self, folder: &str) {
        if folder.is_empty() {
            (self.files, self.size) = (BTreeMap::new(), 0);
            return;
        }
        // `0` is the character after `/`.
        let (first, end) = (format!("{folder}/"), format!("{folder}0"));
        let inside: Vec<String> = self.files.range(first..end).map(|(path, _)| path.clone()).collect();
        inside.iter().for_each(|path| self.forget(path));
    }

    /// `beside`: how much was found elsewhere, which takes of the same room.
    pub(crate) fn keep(&mut self, path: String, content: Arc<Content>, beside: usize) {
        self.forget(&path);
        let size = content.size();
        if self.size + beside + size > PACKAGES_MAX {
            self.left_out += size;
            return;
        }
        self.size += size;
        self.files.insert(path, content);
    }

    /// Lays what a layer has over what is left of those below it.
    pub(crate) fn over(self, mut below: Found) -> Found {
        for (path, content) in self.files {
            below.keep(path, content, 0);
        }
        below.left_out += self.left_out;
        below
    }
}

//! What a build is made from: its graph's inputs, and all of it as one hash, since two builds of an application with the
//! same input make the same image.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use buildkit::source::Source;
use llb::Piece;
use plan::Plan;
use plan::parts::{self, Part};
use plan::rewrite::{self, Rewritten};
use sha2::{Digest, Sha256};

use crate::recent::{self, Recent};
use crate::source::{Context, Files};

/// Raise it when the same input is built differently from then on.
const FORMAT: &str = "1";
/// What the frontend calls the context, and the session the files of one that was not cut.
const WHOLE: &str = "context";

/// Everything of the commit and of the application's settings that BuildKit gets.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) context: Context,
    pub(crate) parts: Vec<Part>,
    pub(crate) pieces: Vec<Piece>,
    pub(crate) dockerfile: Rewritten,
    pub(crate) args: BTreeMap<String, String>,
    pub(crate) target: Option<String>,
    /// By path, what changes when the secret of that id does.
    pub(crate) secret_keys: BTreeMap<String, Vec<u8>>,
    sources: BTreeMap<String, Arc<Files>>,
}

/// What the application's settings give.
pub(crate) struct Given<'a> {
    pub(crate) args: BTreeMap<String, String>,
    pub(crate) target: Option<String>,
    /// What stands for each secret.
    pub(crate) secret_keys: &'a BTreeMap<String, String>,
}

impl Input {
    /// Also gives what to keep of the order of the parts, which is made from what was kept `before`.
    pub(crate) fn new(
        context: Context,
        plan: &Plan,
        Given { args, target, secret_keys }: Given<'_>,
        before: &Recent,
    ) -> (Input, Recent) {
        let entries = context.entries();
        let cut = parts::split(&entries);
        let mut files: Vec<_> = cut.iter().map(|part| Some(context.files(Some(&part.places)))).collect();
        let ids = files.iter().flatten().map(Files::content_id);
        let held: Recent = cut.iter().map(|part| part.name.clone()).zip(ids).collect();
        let (order, recent) = recent::order(before, &held);
        let parts: Vec<Part> = order.iter().map(|place| cut[*place].clone()).collect();
        let ids: BTreeSet<String> = secret_keys.keys().cloned().collect();
        let dockerfile = rewrite::rewrite(&plan.dockerfile_bytes, &entries, &parts, &ids);
        let (mut pieces, mut sources) = (Vec::new(), BTreeMap::new());
        let mut add = |piece: Piece, files: Files| {
            sources.insert(piece.source.clone(), Arc::new(files));
            pieces.push(piece);
        };
        for (number, (place, (name, content_id))) in order.into_iter().zip(&recent).enumerate() {
            // By its name, not its number: BuildKit keeps what it got under it.
            let source = format!("part-{}", &hex::encode(Sha256::digest(name))[..16]);
            let context = Some(format!("{}{number}", rewrite::PART));
            let piece = Piece { source, content_id: content_id.clone(), context, shown: name.clone() };
            if let Some(files) = files[place].take() {
                add(piece, files);
            }
        }
        if parts.is_empty() {
            let whole = context.files(None);
            let (source, content_id) = (WHOLE.to_owned(), whole.content_id());
            add(Piece { source, content_id, context: None, shown: String::new() }, whole);
        }
        let secret_keys =
            secret_keys.iter().map(|(id, key)| (format!("/{id}"), key.clone().into_bytes())).collect();
        drop(entries);
        (Input { context, parts, pieces, dockerfile, args, target, secret_keys, sources }, recent)
    }

    pub(crate) fn sources(&self) -> BTreeMap<String, Arc<dyn Source>> {
        let source = |(name, files): (&String, &Arc<Files>)| (name.clone(), files.clone() as Arc<dyn Source>);
        self.sources.iter().map(source).collect()
    }

    /// What the bases are is not part of it: their names are, in the Dockerfile. Neither is in which order the parts are
    /// copied.
    pub(crate) fn key(&self, plan: &Plan) -> Vec<u8> {
        let mut hash = Sha256::new();
        field(&mut hash, FORMAT.as_bytes());
        field(&mut hash, std::env::consts::ARCH.as_bytes());
        field(&mut hash, &plan.dockerfile_bytes);
        field(&mut hash, self.target.as_deref().unwrap_or_default().as_bytes());
        for (name, value) in &self.args {
            field(&mut hash, name.as_bytes());
            field(&mut hash, value.as_bytes());
        }
        field(&mut hash, b"secrets");
        for (path, key) in &self.secret_keys {
            field(&mut hash, path.as_bytes());
            field(&mut hash, key);
        }
        field(&mut hash, b"files");
        // The parts follow from the files, so together they stand for all of them.
        let mut pieces: Vec<_> = self.pieces.iter().map(|it| (&it.source, &it.content_id)).collect();
        pieces.sort();
        for (_, content_id) in pieces {
            field(&mut hash, content_id.as_bytes());
        }
        hash.finalize().to_vec()
    }
}

/// With its length, so that no two lists of fields look the same.
fn field(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_be_bytes());
    hash.update(bytes);
}

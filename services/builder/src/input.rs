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
        let files = |part: &Part| context.files(Some(&part.places));
        let held: Recent = cut.iter().map(|part| (part.name.clone(), files(part).content_id())).collect();
        let (order, recent) = recent::order(before, &held);
        let parts: Vec<Part> = order.into_iter().map(|place| cut[place].clone()).collect();
        let ids: BTreeSet<String> = secret_keys.keys().cloned().collect();
        let dockerfile = rewrite::rewrite(&plan.dockerfile_bytes, &entries, &parts, &ids);
        let (mut pieces, mut sources) = (Vec::new(), BTreeMap::new());
        let mut add = |piece: Piece, files: Files| {
            let piece = Piece { content_id: files.content_id(), ..piece };
            sources.insert(piece.source.clone(), Arc::new(files));
            pieces.push(piece);
        };
        let piece = |source: String, context, shown: &str| Piece {
            source,
            content_id: String::new(),
            context,
            shown: shown.to_owned(),
        };
        for (number, part) in parts.iter().enumerate() {
            // By its name, not its number: BuildKit keeps what it got under it.
            let source = format!("part-{}", &hex(&Sha256::digest(&part.name))[..16]);
            let context_name = Some(format!("{}{number}", rewrite::PART));
            add(piece(source, context_name, &part.name), files(part));
        }
        if parts.is_empty() {
            add(piece(WHOLE.to_owned(), None, ""), context.files(None));
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
        field(&mut hash, self.context.files(None).content_id().as_bytes());
        hash.finalize().to_vec()
    }
}

/// With its length, so that no two lists of fields look the same.
fn field(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_be_bytes());
    hash.update(bytes);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

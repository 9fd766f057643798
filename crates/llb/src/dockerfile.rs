//! The inputs of a Dockerfile build: the files to copy from, in one piece or in parts, and the Dockerfile itself.

use std::collections::BTreeMap;

use crate::Definition;
use crate::graph::{Graph, LocalSource, Vertex};

/// The frontend looks for its inputs under these names, and for the Dockerfile at this path.
const CONTEXT: &str = "context";
const DOCKERFILE: &str = "dockerfile";
const DOCKERFILE_PATH: &str = "/Dockerfile";

/// What a Dockerfile build reads.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// Keeps what one application transferred apart from another's.
    pub app_key: &'a str,
    /// The session that serves the files.
    pub session_id: &'a str,
    /// The pieces of the context; what the Dockerfile does not name otherwise is copied from all of them together.
    pub pieces: &'a [Piece],
    /// It may lie anywhere in the repository: its bytes are part of the graph.
    pub dockerfile: &'a [u8],
    /// More files under a name that the Dockerfile copies or mounts from, by path.
    pub files: Option<(&'a str, &'a BTreeMap<String, Vec<u8>>)>,
}

/// Some of the files to copy from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The session serves it under this name.
    pub source: String,
    /// Says which content it has.
    pub content_id: String,
    /// The Dockerfile finds it under this name, if it does.
    pub context: Option<String>,
    /// What it is of, for people; nothing when there is only one.
    pub shown: String,
}

/// The frontend inputs of a Dockerfile build, by name.
pub fn dockerfile_inputs(inputs: &Inputs<'_>) -> BTreeMap<String, Definition> {
    let mut all = BTreeMap::from([(CONTEXT.to_owned(), context(inputs))]);
    for piece in inputs.pieces {
        if let Some(name) = &piece.context {
            let mut graph = Graph::default();
            let local = local(&mut graph, inputs, piece);
            all.insert(name.clone(), graph.definition(local));
        }
    }
    let mut graph = Graph::default();
    let file = [(DOCKERFILE_PATH, inputs.dockerfile)];
    let file = graph.files(file, "[internal] load build definition from Dockerfile");
    all.insert(DOCKERFILE.to_owned(), graph.definition(file));
    if let Some((name, files)) = inputs.files {
        let mut graph = Graph::default();
        let files = files.iter().map(|(path, data)| (path.as_str(), data.as_slice()));
        let files = graph.files(files, "[internal] load keys of secrets");
        all.insert(name.to_owned(), graph.definition(files));
    }
    all
}

fn context(inputs: &Inputs<'_>) -> Definition {
    let mut graph = Graph::default();
    if let [whole] = inputs.pieces {
        let whole = local(&mut graph, inputs, whole);
        return graph.definition(whole);
    }
    // A transferred piece stays open for the next transfer, so what is merged is a copy of it.
    let copies: Vec<Vertex> = inputs
        .pieces
        .iter()
        .map(|piece| {
            let local = local(&mut graph, inputs, piece);
            graph.copy(local, &format!("[internal] copy {}", piece.shown))
        })
        .collect();
    let merged = graph.merge(&copies, "[internal] put build context together");
    graph.definition(merged)
}

fn local(graph: &mut Graph, inputs: &Inputs<'_>, piece: &Piece) -> Vertex {
    let source = LocalSource {
        name: &piece.source,
        content_id: &piece.content_id,
        session_id: inputs.session_id,
        shared_key_hint: inputs.app_key,
    };
    let name = format!("[internal] load build context {}", piece.shown);
    graph.local_source(source, name.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(name: &str, content_id: &str, is_only: bool) -> Piece {
        let context = (!is_only).then(|| name.to_owned());
        Piece { source: name.to_owned(), content_id: content_id.to_owned(), context, shown: name.to_owned() }
    }

    fn inputs<'a>(pieces: &'a [Piece], dockerfile: &'a [u8]) -> Inputs<'a> {
        Inputs { app_key: "app-1", session_id: "session-1", pieces, dockerfile, files: None }
    }

    #[test]
    fn same_input_same_bytes() {
        let pieces = [piece("context", "t1", true)];
        let make = || dockerfile_inputs(&inputs(&pieces, b"FROM scratch\n"));
        assert_eq!(make(), make());
        assert_eq!(make().keys().collect::<Vec<_>>(), ["context", "dockerfile"]);
    }

    #[test]
    fn each_input_depends_on_its_own_part_only() {
        let (one, other) = ([piece("context", "t1", true)], [piece("context", "t2", true)]);
        let first = dockerfile_inputs(&inputs(&one, b"FROM scratch\n"));
        let changed = dockerfile_inputs(&inputs(&other, b"FROM scratch\n"));
        assert_eq!(first["dockerfile"], changed["dockerfile"]);
        assert_ne!(first["context"], changed["context"]);
        let edited = dockerfile_inputs(&inputs(&one, b"FROM busybox\n"));
        assert_eq!(first["context"], edited["context"]);
        assert_ne!(first["dockerfile"], edited["dockerfile"]);
        let another = dockerfile_inputs(&Inputs { app_key: "app-2", ..inputs(&one, b"FROM scratch\n") });
        assert_ne!(first["context"], another["context"]);
    }

    #[test]
    fn pieces_are_found_one_by_one_and_together() {
        let before = [piece("a", "1", false), piece("b", "1", false)];
        let after = [piece("a", "1", false), piece("b", "2", false)];
        let (before, after) = (inputs(&before, b"FROM scratch\n"), inputs(&after, b"FROM scratch\n"));
        let (before, after) = (dockerfile_inputs(&before), dockerfile_inputs(&after));
        assert_eq!(before.keys().collect::<Vec<_>>(), ["a", "b", "context", "dockerfile"]);
        assert_eq!(before["a"], after["a"]);
        assert_ne!(before["b"], after["b"]);
        assert_eq!(before["context"].def.len(), 6, "two pieces, two copies, the merge and the end");
    }

    #[test]
    fn more_files_have_a_name_of_their_own() {
        let pieces = [piece("context", "t1", true)];
        let files = BTreeMap::from([("/npm".to_owned(), b"k".to_vec()), ("/pip".to_owned(), b"k".to_vec())]);
        let with = Inputs { files: Some(("keys", &files)), ..inputs(&pieces, b"FROM scratch\n") };
        assert_eq!(dockerfile_inputs(&with)["keys"].def.len(), 2);
    }
}

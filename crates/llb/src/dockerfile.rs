//! The inputs of a Dockerfile build: the files to copy from, and the Dockerfile itself.

use std::collections::BTreeMap;

use crate::Definition;
use crate::graph::{Graph, LocalSource};

/// The frontend looks for its inputs under these names, and for the Dockerfile at this path.
const CONTEXT: &str = "context";
const DOCKERFILE: &str = "dockerfile";
const DOCKERFILE_PATH: &str = "/Dockerfile";

/// The frontend inputs of a Dockerfile build, by name.
///
/// `app_key` keeps what one application transferred apart from another's; `session_id` is the session that serves
/// its files. The Dockerfile may lie anywhere in the repository: its bytes are part of the graph.
pub fn dockerfile_inputs(app_key: &str, session_id: &str, dockerfile: &[u8]) -> BTreeMap<String, Definition> {
    let mut graph = Graph::default();
    let source = LocalSource { name: CONTEXT, session_id, shared_key_hint: app_key };
    let files = graph.local_source(source, "[internal] load build context");
    let context = graph.definition(files);

    let mut graph = Graph::default();
    let file = graph.mkfile(DOCKERFILE_PATH, dockerfile, "[internal] load build definition from Dockerfile");
    BTreeMap::from([(CONTEXT.to_owned(), context), (DOCKERFILE.to_owned(), graph.definition(file))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_input_same_bytes() {
        let make = || dockerfile_inputs("app-1", "session-1", b"FROM scratch\n");
        assert_eq!(make(), make());
        assert_eq!(make().keys().collect::<Vec<_>>(), ["context", "dockerfile"]);
    }

    #[test]
    fn each_input_depends_on_its_own_part_only() {
        let inputs = dockerfile_inputs("app-1", "session-1", b"FROM scratch\n");
        let later = dockerfile_inputs("app-1", "session-2", b"FROM scratch\n");
        assert_eq!(inputs["dockerfile"], later["dockerfile"]);
        assert_ne!(inputs["context"], later["context"]);
        let edited = dockerfile_inputs("app-1", "session-1", b"FROM busybox\n");
        assert_eq!(inputs["context"], edited["context"]);
        assert_ne!(inputs["dockerfile"], edited["dockerfile"]);
        let another = dockerfile_inputs("app-2", "session-1", b"FROM scratch\n");
        assert_ne!(inputs["context"], another["context"]);
    }
}

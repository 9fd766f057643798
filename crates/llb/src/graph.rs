//! A graph of operations and its marshalled form. Equal graphs give equal bytes, hence equal digests and cache hits.

use std::collections::BTreeMap;

use bollard_buildkit_proto::pb;
use prost::Message;
use sha2::{Digest, Sha256};

use crate::Definition;

/// With it and what the content is called begins a pattern that leaves nothing out.
pub const CONTENT_MARK: &str = "slipway-content/";

/// BuildKit reads -1 as "not set" where the wire format's default, 0, has a meaning of its own.
const UNSET: i64 = -1;

#[derive(Debug, Default)]
pub struct Graph {
    ops: Vec<MarshalledOp>,
}

/// One operation of a graph, to be used as an input of another or as the graph's result.
#[derive(Clone, Copy, Debug)]
pub struct Vertex(usize);

#[derive(Debug)]
struct MarshalledOp {
    digest: String,
    bytes: Vec<u8>,
    metadata: pb::OpMetadata,
}

/// Files that the client sends over its session.
#[derive(Clone, Copy, Debug)]
pub struct LocalSource<'a> {
    pub name: &'a str,
    /// Which content is meant: as long as the session lasts, BuildKit asks for the same one only once.
    pub content_id: &'a str,
    pub session_id: &'a str,
    /// Builds with the same hint share one transferred copy, and only what changed travels.
    pub shared_key_hint: &'a str,
}

impl Graph {
    pub fn local_source(&mut self, source: LocalSource<'_>, step_name: &str) -> Vertex {
        let attrs = BTreeMap::from([
            ("local.session".to_owned(), source.session_id.to_owned()),
            // A pattern that matches nothing: it is part of the cache key and of nothing else.
            ("local.excludepatterns".to_owned(), format!("[\"{CONTENT_MARK}{}\"]", source.content_id)),
            ("local.sharedkeyhint".to_owned(), source.shared_key_hint.to_owned()),
        ]);
        let op = pb::SourceOp { identifier: format!("local://{}", source.name), attrs };
        self.add(
            pb::op::Op::Source(op),
            &[],
            &[
                "source.local",
                "source.local.excludepatterns",
                "source.local.sessionid",
                "source.local.sharedkeyhint",
            ],
            step_name,
        )
    }

    /// A file system that holds these files, by path.
    pub fn files<'f>(
        &mut self,
        files: impl IntoIterator<Item = (&'f str, &'f [u8])>,
        step_name: &str,
    ) -> Vertex {
        let mkfile = |(path, data): (&str, &[u8])| {
            pb::file_action::Action::Mkfile(pb::FileActionMkFile {
                path: path.to_owned(),
                mode: 0o644,
                data: data.to_vec(),
                owner: None,
                timestamp: UNSET,
            })
        };
        let mut actions: Vec<pb::FileAction> = (UNSET..)
            .zip(files.into_iter().map(mkfile))
            // Each goes on with what the one before it made; only the last is the result.
            .map(|(input, action)| pb::FileAction {
                input,
                secondary_input: UNSET,
                output: UNSET,
                action: Some(action),
            })
            .collect();
        if let Some(last) = actions.last_mut() {
            last.output = 0;
        }
        self.add(pb::op::Op::File(pb::FileOp { actions }), &[], &["file.base"], step_name)
    }

    /// All of `source`, on a file system of its own. Two copies of the same content are one result, whatever they were
    /// copied from.
    pub fn copy(&mut self, source: Vertex, step_name: &str) -> Vertex {
        let copy = pb::FileActionCopy {
            src: "/".to_owned(),
            dest: "/".to_owned(),
            owner: None,
            mode: -1,
            dir_copy_contents: true,
            create_dest_path: true,
            timestamp: UNSET,
            ..Default::default()
        };
        let action = pb::FileAction {
            input: UNSET,
            secondary_input: 0,
            output: 0,
            action: Some(pb::file_action::Action::Copy(copy)),
        };
        self.add(pb::op::Op::File(pb::FileOp { actions: vec![action] }), &[source], &["file.base"], step_name)
    }

    /// The file systems one over the other.
    pub fn merge(&mut self, layers: &[Vertex], step_name: &str) -> Vertex {
        let inputs = (0..).zip(layers).map(|(input, _)| pb::MergeInput { input }).collect();
        self.add(pb::op::Op::Merge(pb::MergeOp { inputs }), layers, &["mergeop"], step_name)
    }

    /// The marshalled graph whose result is `result`.
    pub fn definition(self, result: Vertex) -> Definition {
        let input = self.input(result);
        // An operation with nothing but an input marks the result.
        let terminal = marshal(
            &pb::Op { inputs: vec![input], ..Default::default() },
            metadata(&["constraints", "platform"]),
        );
        let mut definition = Definition::default();
        for op in self.ops.into_iter().chain([terminal]) {
            definition.def.push(op.bytes);
            definition.metadata.insert(op.digest, op.metadata);
        }
        definition
    }

    fn input(&self, vertex: Vertex) -> pb::Input {
        pb::Input { digest: self.ops[vertex.0].digest.clone(), index: 0 }
    }

    fn add(&mut self, op: pb::op::Op, inputs: &[Vertex], capabilities: &[&str], step_name: &str) -> Vertex {
        let inputs = inputs.iter().map(|input| self.input(*input)).collect();
        let op = pb::Op {
            op: Some(op),
            inputs,
            constraints: Some(pb::WorkerConstraints::default()),
            ..Default::default()
        };
        let mut metadata = metadata(capabilities);
        metadata.description.insert("llb.customname".to_owned(), step_name.to_owned());
        let op = marshal(&op, metadata);
        if let Some(known) = self.ops.iter().position(|it| it.digest == op.digest) {
            return Vertex(known);
        }
        self.ops.push(op);
        Vertex(self.ops.len() - 1)
    }
}

/// Metadata is no part of the digest, so names never cost a cache hit.
fn metadata(capabilities: &[&str]) -> pb::OpMetadata {
    let caps = capabilities.iter().map(|&capability| (capability.to_owned(), true)).collect();
    pb::OpMetadata { caps, ..Default::default() }
}

fn marshal(op: &pb::Op, metadata: pb::OpMetadata) -> MarshalledOp {
    let bytes = op.encode_to_vec();
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
    MarshalledOp { digest, bytes, metadata }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(definition: &Definition) -> String {
        let digests = definition.def.iter().map(|op| hex::encode(Sha256::digest(op)));
        digests.collect::<Vec<_>>().join("\n")
    }

    fn source(session_id: &str) -> LocalSource<'_> {
        LocalSource { name: "context", content_id: "tree-1", session_id, shared_key_hint: "app-1" }
    }

    #[test]
    fn digests_are_stable() {
        let mut graph = Graph::default();
        let context = graph.local_source(source("session-1"), "load");
        insta::assert_snapshot!(digests(&graph.definition(context)), @r"
        5fd41a07ad08c262b7e3f9063a2a0089c6e1266ec00d90de01f1ed82054665dd
        4fbf0bc8521c4c630c2ab84c3012e4346534d4ac7f0c47cff47cdf742f9c1096
        ");

        let mut graph = Graph::default();
        let file = graph.files([("/Dockerfile", b"FROM scratch\n".as_slice())], "load");
        insta::assert_snapshot!(digests(&graph.definition(file)), @r"
        0db9fc7650128b9584fcfb1ba05b44cbb8b28dd15f9a19085c0eed1d2b4b7ef8
        4504f7f05bb4ab02f7e2625b210503ebe6a7c28791734f704f1b207c07d7ef92
        ");
    }

    #[test]
    fn a_name_is_no_part_of_the_digest() {
        let [one, other] = ["one", "other"].map(|name| {
            let mut graph = Graph::default();
            let file = graph.files([("/a", b"a".as_slice())], name);
            graph.definition(file)
        });
        assert_eq!(one.def, other.def);
        assert_ne!(one.metadata, other.metadata);
    }

    #[test]
    fn equal_operations_are_one() {
        let mut graph = Graph::default();
        graph.local_source(source("session-1"), "load");
        let again = graph.local_source(source("session-1"), "load");
        assert_eq!(graph.definition(again).def.len(), 2, "the operation and the terminal one");
    }

    #[test]
    fn every_operation_has_its_metadata() {
        let mut graph = Graph::default();
        graph.local_source(source("session-1"), "load");
        let file = graph.files([("/a", b"a".as_slice())], "make");
        let definition = graph.definition(file);
        for op in &definition.def {
            let digest = format!("sha256:{}", hex::encode(Sha256::digest(op)));
            assert!(!definition.metadata[&digest].caps.is_empty(), "{digest}");
        }
    }
}

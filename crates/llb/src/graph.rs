//! A graph of operations and its marshalled form. Equal graphs give equal bytes, hence equal digests and cache hits.

use std::collections::BTreeMap;

use bollard_buildkit_proto::pb;
use prost::Message;
use sha2::{Digest, Sha256};

use crate::Definition;

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
    pub session_id: &'a str,
    /// Builds with the same hint share one transferred copy, and only what changed travels.
    pub shared_key_hint: &'a str,
}

impl Graph {
    pub fn local_source(&mut self, source: LocalSource<'_>, step_name: &str) -> Vertex {
        let attrs = BTreeMap::from([
            ("local.session".to_owned(), source.session_id.to_owned()),
            ("local.sharedkeyhint".to_owned(), source.shared_key_hint.to_owned()),
        ]);
        let op = pb::SourceOp { identifier: format!("local://{}", source.name), attrs };
        self.add(
            pb::op::Op::Source(op),
            &["source.local", "source.local.sessionid", "source.local.sharedkeyhint"],
            step_name,
        )
    }

    /// A file system that holds one file.
    pub fn mkfile(&mut self, path: &str, data: &[u8], step_name: &str) -> Vertex {
        let file = pb::FileActionMkFile {
            path: path.to_owned(),
            mode: 0o644,
            data: data.to_vec(),
            owner: None,
            timestamp: UNSET,
        };
        let action = pb::FileAction {
            input: UNSET,
            secondary_input: UNSET,
            output: 0,
            action: Some(pb::file_action::Action::Mkfile(file)),
        };
        self.add(pb::op::Op::File(pb::FileOp { actions: vec![action] }), &["file.base"], step_name)
    }

    /// The marshalled graph whose result is `result`.
    pub fn definition(self, result: Vertex) -> Definition {
        let input = pb::Input { digest: self.ops[result.0].digest.clone(), index: 0 };
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

    fn add(&mut self, op: pb::op::Op, capabilities: &[&str], step_name: &str) -> Vertex {
        let op = pb::Op {
            op: Some(op),
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
        LocalSource { name: "context", session_id, shared_key_hint: "app-1" }
    }

    #[test]
    fn digests_are_stable() {
        let mut graph = Graph::default();
        let context = graph.local_source(source("session-1"), "load");
        insta::assert_snapshot!(digests(&graph.definition(context)), @r"
        3df7bd2145a8afa8e929f0f9eb5d9c8893b0aac6cc25d2c23d59c500e4f2eae5
        ef35285d1e20add1900085910e06e127da2b345693f5b4dc8d4c040c7fbe02d9
        ");

        let mut graph = Graph::default();
        let file = graph.mkfile("/Dockerfile", b"FROM scratch\n", "load");
        insta::assert_snapshot!(digests(&graph.definition(file)), @r"
        0db9fc7650128b9584fcfb1ba05b44cbb8b28dd15f9a19085c0eed1d2b4b7ef8
        4504f7f05bb4ab02f7e2625b210503ebe6a7c28791734f704f1b207c07d7ef92
        ");
    }

    #[test]
    fn a_name_is_no_part_of_the_digest() {
        let [one, other] = ["one", "other"].map(|name| {
            let mut graph = Graph::default();
            let file = graph.mkfile("/a", b"a", name);
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
        let file = graph.mkfile("/a", b"a", "make");
        let definition = graph.definition(file);
        for op in &definition.def {
            let digest = format!("sha256:{}", hex::encode(Sha256::digest(op)));
            assert!(!definition.metadata[&digest].caps.is_empty(), "{digest}");
        }
    }
}

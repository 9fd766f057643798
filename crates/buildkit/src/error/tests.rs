//! Errors as BuildKit v0.33.1 sent them, each with the fault that it is.

use bollard_buildkit_proto::google::protobuf::{self, Any};
use bollard_buildkit_proto::google::rpc;
use bollard_buildkit_proto::moby::buildkit::v1::{StatusResponse, Vertex, VertexLog};
use domain::reason::Fault;
use prost::Message;

use super::*;
use ReasonCode::{
    BaseImageMissing, BuildkitUnavailable, DockerfileInvalid, Internal, RegistryRefused, RegistryUnavailable,
    StepFailed,
};

const DOCKERFILE: &str = "FROM busybox\nRUN make\nRUNN x\n";
const DIGEST: &str = "sha256:451d417253cc67ec7e690b127e70eff9732961810ebe9d6fc21f8be96fc69a15";

/// What came with the message: `vertex`, `exit=CODE`, `line=NUMBER`, apart by spaces.
fn status(message: &str, details: &str) -> Status {
    let detail = |word: &str| {
        let (kind, json) = match word.split_once('=') {
            None => ("errdefs.Vertex", format!(r#"{{"digest":"{DIGEST}"}}"#)),
            Some(("exit", code)) => ("gatewayapi.ExitMessage", format!(r#"{{"Code":{code}}}"#)),
            Some((_, line)) => {
                let data = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, DOCKERFILE);
                let range = format!(r#"{{"start":{{"line":{line}}},"end":{{"line":{line}}}}}"#);
                (
                    "errdefs.Source",
                    format!(r#"{{"info":{{"filename":"Dockerfile","data":"{data}"}},"ranges":[{range}]}}"#),
                )
            }
        };
        Any { type_url: format!("github.com/moby/buildkit/{kind}+json"), value: json.into_bytes() }
    };
    let details = rpc::Status {
        code: 2,
        message: String::new(),
        details: details.split_whitespace().map(detail).collect(),
    };
    Status::with_details(Code::Unknown, message, details.encode_to_vec().into())
}

/// What was seen of a build whose only step wrote `output`.
fn progress(step: &str, output: &str) -> Progress {
    let mut progress = Progress::default();
    let started = Some(protobuf::Timestamp { seconds: 1, nanos: 0 });
    let vertex = Vertex { digest: DIGEST.to_owned(), name: step.to_owned(), started, ..Vertex::default() };
    let log = VertexLog { vertex: DIGEST.to_owned(), stream: 1, msg: output.into(), ..VertexLog::default() };
    progress.apply(&StatusResponse { vertexes: vec![vertex], logs: vec![log], ..StatusResponse::default() });
    progress
}

fn classified(message: &str, details: &str) -> Reason {
    reason(&classify(&status(message, details), &progress("[2/2] RUN make", "no rule\n")))
}

/// Message, details, code and what people are shown.
const OF_THE_USER: &[(&str, &str, ReasonCode, &str)] = &[
    (
        "process \"/bin/sh -c make\" did not complete successfully: exit code: 7",
        "vertex exit=7 line=2",
        StepFailed,
        "[2/2] RUN make failed: exit code 7",
    ),
    (
        "process \"/bin/sh -c make\" did not complete successfully: exit code: 137",
        "vertex exit=137 line=2",
        StepFailed,
        "[2/2] RUN make failed: exit code 137 (killed; it may have used too much memory)",
    ),
    (
        "process \"/bin/sh -c true\" did not complete successfully: unable to find user nobody99: no matching entries in passwd file",
        "vertex line=2",
        StepFailed,
        "[2/2] RUN make failed: unable to find user nobody99: no matching entries in passwd file",
    ),
    (
        "failed to compute cache key: failed to calculate checksum of ref mqe6bfuexefkuvms0qvjz76ba::75k566ddtm2i2fa54dy4neg2n: \"/nope.txt\": not found",
        "vertex",
        StepFailed,
        "[2/2] RUN make failed: \"/nope.txt\": not found",
    ),
    (
        "failed to load cache key: Get \"http://127.0.0.1:1/x\": dial tcp 127.0.0.1:1: connect: connection refused",
        "vertex",
        StepFailed,
        "[2/2] RUN make failed: Get \"http://127.0.0.1:1/x\": dial tcp 127.0.0.1:1: connect: connection refused",
    ),
    ("secret x: not found", "vertex line=2", StepFailed, "[2/2] RUN make failed: secret x: not found"),
    (
        "dockerfile parse error on line 3: unknown instruction: RUNN (did you mean RUN?)",
        "line=3",
        DockerfileInvalid,
        "Dockerfile line 3: unknown instruction: RUNN (did you mean RUN?)",
    ),
    (
        "base name (${X}) should not be blank",
        "line=2",
        DockerfileInvalid,
        "Dockerfile line 2: base name (${X}) should not be blank",
    ),
    (
        "no build stage in current context",
        "line=1",
        DockerfileInvalid,
        "Dockerfile line 1: no build stage in current context",
    ),
    ("the Dockerfile cannot be empty", "", DockerfileInvalid, "Dockerfile: the Dockerfile cannot be empty"),
    (
        "failed to load LLB: security.insecure is not allowed",
        "",
        DockerfileInvalid,
        "Dockerfile: failed to load LLB: security.insecure is not allowed",
    ),
    (
        "nope:1: failed to resolve source metadata for registry:5000/library/nope:1: registry:5000/library/nope:1: not found",
        "line=1",
        BaseImageMissing,
        "the base image nope:1 cannot be had: not found",
    ),
    (
        "h.invalid/a:1: failed to resolve source metadata for h.invalid/a:1: failed to do request: Head \"https://h.invalid/v2/a/manifests/1\": dial tcp: lookup h.invalid on 10.255.255.53:53: no such host",
        "line=1",
        BaseImageMissing,
        "the base image h.invalid/a:1 cannot be had: failed to do request: Head \"https://h.invalid/v2/a/manifests/1\": dial tcp: lookup h.invalid on 10.255.255.53:53: no such host",
    ),
    (
        "r:5/a:1: failed to resolve source metadata for r:5/a:1: unexpected status from HEAD request to http://r:5/v2/a/manifests/1: 401 Unauthorized",
        "line=1",
        BaseImageMissing,
        "the base image r:5/a:1 cannot be had: unexpected status from HEAD request to http://r:5/v2/a/manifests/1: 401 Unauthorized",
    ),
];

/// Message, details and code.
const OF_THE_PLATFORM: &[(&str, &str, ReasonCode)] = &[
    (
        "r:5/a:1: failed to resolve source metadata for r:5/a:1: unexpected status from HEAD request to http://r:5/v2/a/manifests/1: 503 Service Unavailable",
        "line=1",
        RegistryUnavailable,
    ),
    (
        "r:5/a:1: failed to resolve source metadata for r:5/a:1: unexpected status from HEAD request to http://r:5/v2/a/manifests/1: 429 Too Many Requests",
        "line=1",
        RegistryUnavailable,
    ),
    (
        "r:5/a:1: failed to resolve source metadata for r:5/a:1: failed to do request: Head \"http://r:5/v2/a/manifests/1\": dial tcp 10.0.0.1:5: connect: connection refused",
        "line=1",
        RegistryUnavailable,
    ),
    (
        "r:5/a:1: failed to resolve source metadata for r:5/a:1: failed to authorize: failed to fetch anonymous token: unexpected status from GET request to http://r:5/token: 503 Service Unavailable",
        "line=1",
        RegistryUnavailable,
    ),
    (
        "failed to push r:5/a:1: unexpected status from HEAD request to http://r:5/v2/a/blobs/sha256:c2d7754631177ac8f0cc8c2b1404a93ffaeeb2e698a80144c0769a867e048739: 500 Internal Server Error",
        "",
        RegistryUnavailable,
    ),
    ("failed to push r:5/a:1: unknown: told by the fake", "", RegistryUnavailable),
    (
        "failed to push r:5/a:1: unexpected status from HEAD request to http://r:5/v2/a/blobs/sha256:c2d7754631177ac8f0cc8c2b1404a93ffaeeb2e698a80144c0769a867e048739: 401 Unauthorized",
        "",
        RegistryRefused,
    ),
    (
        "failed to compute cache key: failed to copy: httpReadSeeker: failed open: could not fetch content descriptor sha256:36fe4b727705e5f518e270349673936e3a48625ea09c97a4414e05ac0670eca0 (application/vnd.oci.image.layer.v1.tar+gzip) from remote: not found",
        "vertex",
        RegistryUnavailable,
    ),
    (
        "failed to compute cache key: short read: expected 3001111 bytes but got 0: unexpected EOF",
        "vertex",
        RegistryUnavailable,
    ),
    ("error from sender: cannot read gone: object missing", "vertex", Internal),
    ("write /x: no space left on device", "vertex", Internal),
    (
        "process \"/bin/sh -c make\" did not complete successfully: exit code: 137: context canceled",
        "vertex exit=137",
        BuildkitUnavailable,
    ),
    ("something nobody has seen", "", Internal),
];

#[test]
fn faults_of_the_user() {
    for &(message, details, code, shown) in OF_THE_USER {
        let reason = classified(message, details);
        assert_eq!((reason.code, reason.message.as_str()), (code, shown), "{message}");
        assert_eq!(reason.fault(), Fault::User, "{message}");
    }
}

#[test]
fn faults_of_the_platform() {
    for &(message, details, code) in OF_THE_PLATFORM {
        let reason = classified(message, details);
        assert_eq!(reason.code, code, "{message}");
        assert_eq!(reason.fault(), Fault::Platform, "{message}");
    }
}

#[test]
fn a_full_disk_is_no_fault_of_the_step() {
    let progress = progress("[2/2] RUN make", "cc: write error: No space left on device\n");
    let message = "process \"/bin/sh -c make\" did not complete successfully: exit code: 1";
    let error = classify(&status(message, "vertex exit=1"), &progress);
    assert_eq!(error, SolveError::Other { message: "the disk is full under [2/2] RUN make".to_owned() });
}

#[test]
fn a_damaged_cache_is_told_from_all_else() {
    let missing = "failed to push r:5/a: blob sha256:aa expected at /s/sha256/aa: blob not found: not found";
    let reason = classified(missing, "");
    assert_eq!((reason.code, reason.fault()), (ReasonCode::CacheCorrupt, Fault::Platform));
    assert!(reason.message.starts_with("BuildKit's cache is damaged: "), "{}", reason.message);
}

#[test]
fn the_proof_comes_along() {
    let failed = classified("process \"x\" did not complete successfully: exit code: 1", "vertex exit=1");
    assert_eq!(failed.lines, ["no rule"]);
    let invalid = classified("dockerfile parse error on line 3: unknown instruction: RUNN", "line=3");
    assert_eq!(invalid.lines, ["RUNN x"]);
}

#[test]
fn a_long_command_is_shortened_to_one_line() {
    let progress = progress(&format!("[2/2] RUN a\nb {}", "\u{e4}".repeat(200)), "");
    let message = "process \"x\" did not complete successfully: exit code: 1";
    let reason = reason(&classify(&status(message, "vertex exit=1"), &progress));
    assert!(reason.message.starts_with("[2/2] RUN a b \u{e4}"), "{}", reason.message);
    assert!(reason.message.ends_with("\u{e4}... failed: exit code 1"), "{}", reason.message);
}

#[test]
fn runc_may_fail_by_itself() {
    let message = "process \"/nosuch\" did not complete successfully: exit code: 1";
    for (output, code) in [
        (
            "runc run failed: unable to start container process: error during container init: exec: \"/nosuch\": stat /nosuch: no such file or directory\n",
            StepFailed,
        ),
        (
            "runc run failed: unable to start container process: unable to apply cgroup configuration: x\n",
            Internal,
        ),
        ("said by the step: cgroup\n", StepFailed),
    ] {
        let error = classify(&status(message, "vertex exit=1"), &progress("[2/2] RUN [\"/nosuch\"]", output));
        assert_eq!(reason(&error).code, code, "{output}");
    }
}

#[test]
fn a_fault_of_an_internal_step_is_the_platforms() {
    let error = classify(&status("anything", "vertex"), &progress("[internal] load build context", ""));
    assert_eq!(error, SolveError::Other { message: "anything".to_owned() });
}

#[test]
fn what_the_transport_says_is_no_fault_of_the_build() {
    let broken = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
    let error = SolveError::from(Status::from_error(Box::new(broken)));
    assert!(matches!(error, SolveError::Unavailable { .. }), "{error}");
    assert!(matches!(SolveError::from(Status::unavailable("going away")), SolveError::Unavailable { .. }));
}

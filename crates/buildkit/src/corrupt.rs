//! Which errors say that BuildKit's own disk does not hold what BuildKit wrote there. Pure; texts as of v0.33.1 and the
//! containerd 2.3 and bbolt 1.4 in it.
//!
//! Of its databases BuildKit mends `cache.db`, `history.db` and `metadata_v2.db` itself when it starts. With a broken
//! `containerdmeta.db` or snapshot database it does not start: that is for the start script of its pod.

/// What a record names is not there: a blob, a snapshot, a bucket. Waiting does not bring it back.
const CERTAIN: [&[&str]; 11] = [
    &["expected at ", "blob not found"],
    &["content digest sha256:", ": not found"],
    &["failed to restore missing snapshot"],
    &["failed to stat snapshot"],
    &["snapshot ", " does not exist"],
    &["no blob set for cache record"],
    &["no blob metadata is stored for"],
    &["failed to mount ", "lowerdir=", "no such file or directory"],
    &["invalid database"],
    &["database not open"],
    &["checksum error"],
];

/// Bytes that are not those of their digest: damaged here, or on their way.
const SUSPECTED: [&[&str]; 5] = [
    &["failed to push ", "did not match uploaded content"],
    &["failed to push ", "unexpected status from PUT request", "/blobs/uploads/", "400 Bad Request"],
    &["failed to verify layer ", "expected diffID"],
    &["unexpected commit digest"],
    &["blob digest mismatch"],
];

/// `Some(true)`: the cache is damaged. `Some(false)`: it may be. A step's own exit says nothing of it.
pub(crate) fn judge(message: &str, exit_code: Option<u32>) -> Option<bool> {
    if exit_code.is_some() {
        return None;
    }
    let any = |texts: &[&[&str]]| texts.iter().any(|parts| contains_in_order(message, parts));
    if any(&CERTAIN) {
        return Some(true);
    }
    any(&SUSPECTED).then_some(false)
}

fn contains_in_order(text: &str, parts: &[&str]) -> bool {
    let mut rest = Some(text);
    for part in parts {
        rest = rest.and_then(|rest| rest.split_once(part)).map(|(_, rest)| rest);
    }
    rest.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_certain() {
        for message in [
            "failed to push r:5/a: blob sha256:aa expected at /state/content/blobs/sha256/aa: blob not found: not found",
            "failed to compute cache key: content digest sha256:aa: not found",
            "failed to restore missing snapshot abc: no blob available",
            "failed to prepare abc as def: parent snapshot abc does not exist: not found",
            "invalid database",
        ] {
            assert_eq!(judge(message, None), Some(true), "{message}");
        }
    }

    #[test]
    fn a_digest_that_does_not_fit_is_suspected() {
        for message in [
            "failed to push r:5/a: unexpected status from PUT request to http://r:5/v2/a/blobs/uploads/1?x: 400 Bad Request",
            "failed to push r:5/a:1: unknown: provided digest did not match uploaded content - invalid digest for referenced layer: sha256:aa, content does not match digest",
            "failed to verify layer sha256:aa: expected diffID sha256:bb, got sha256:cc",
            "unexpected commit digest sha256:aa, expected sha256:bb: failed precondition",
        ] {
            assert_eq!(judge(message, None), Some(false), "{message}");
        }
    }

    #[test]
    fn everything_else_is_not() {
        for (message, exit_code) in [
            ("process \"invalid database\" did not complete successfully: exit code: 1", Some(1)),
            ("digest mismatch for https://x/y: sha256:aa (expected: sha256:bb)", None),
            (
                "failed to push r:5/a: unexpected status from PUT request to http://r:5/v2/a/manifests/1: 400 Bad Request",
                None,
            ),
            ("failed to calculate checksum of ref x::y: \"/nope.txt\": not found", None),
            ("write /x: no space left on device", None),
        ] {
            assert_eq!(judge(message, exit_code), None, "{message}");
        }
    }
}

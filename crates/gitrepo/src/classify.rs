//! From what git says when it fails to whose fault it is. The texts are those of git 2.39 to 2.51 under `LC_ALL=C`.

use crate::GitError;

const MESSAGE_MAX: usize = 300;

/// What a server answers when it has no such commit, or does not give it out by its id.
const NOT_GIVEN_OUT: &[&str] = &["not our ref", "unadvertised object", "couldn't find remote ref"];

const REFUSED: &[&str] = &[
    "could not read Username",
    "could not read Password",
    "Authentication failed",
    "' not found",
    "does not appear to be a git repository",
    "Access denied",
    "not valid: is this a git repository?",
    "transport 'file' not allowed",
];

const UNAVAILABLE: &[&str] = &[
    "Could not resolve",
    "Couldn't resolve",
    "Failed to connect",
    "Couldn't connect",
    "Connection ",
    "timed out",
    "Operation too slow",
    "Empty reply from server",
    "Recv failure",
    "Send failure",
    "RPC failed",
    "early EOF",
    "unexpected disconnect",
    "hung up unexpectedly",
    "SSL",
    "TLS",
    "gnutls",
    "certificate",
    "transfer closed",
    "HTTP/2 stream",
];

pub(crate) fn classify(stderr: &str) -> GitError {
    let message = message(stderr);
    if let Some(status) = http_status(stderr) {
        return match status {
            408 | 429 | 500.. => GitError::Unavailable(message),
            300..400 => GitError::Refused(format!("it redirects: give the URL it is at now ({message})")),
            _ => GitError::Refused(message),
        };
    }
    let says = |texts: &[&str]| texts.iter().any(|text| stderr.contains(text));
    if says(REFUSED) {
        GitError::Refused(message)
    } else if says(UNAVAILABLE) {
        GitError::Unavailable(message)
    } else {
        GitError::Other(failure(stderr))
    }
}

pub(crate) fn failure(stderr: &str) -> anyhow::Error {
    anyhow::anyhow!("git failed: {}", message(stderr))
}

pub(crate) fn is_not_given_out(stderr: &str) -> bool {
    NOT_GIVEN_OUT.iter().any(|it| stderr.contains(it))
}

fn http_status(stderr: &str) -> Option<u16> {
    let after = ["requested URL returned error: ", "RPC failed; HTTP "];
    let rest = after.iter().find_map(|text| Some(stderr.split_once(text)?.1))?;
    rest.get(..3)?.parse().ok()
}

/// The line that says most: the last one that git itself calls fatal, else the last of all.
fn message(stderr: &str) -> String {
    let lines = || stderr.lines().map(str::trim).filter(|it| !it.is_empty());
    let fatal = lines().rev().find_map(|line| line.strip_prefix("fatal: "));
    let text = fatal.or_else(|| lines().next_back()).unwrap_or("it did not say why");
    text.chars().take(MESSAGE_MAX).collect()
}

#[cfg(test)]
mod tests {
    use domain::reason::{Reason, ReasonCode};

    use super::*;

    #[test]
    fn what_git_says() {
        let rows = [
            (
                "fatal: could not read Username for 'http://f': terminal prompts disabled\n",
                ReasonCode::RepositoryRefused,
            ),
            ("fatal: Authentication failed for 'https://f/a.git/'\n", ReasonCode::RepositoryRefused),
            (
                "fatal: unable to access 'http://f/': The requested URL returned error: 403\n",
                ReasonCode::RepositoryRefused,
            ),
            (
                "fatal: unable to access 'http://f/': The requested URL returned error: 301\n",
                ReasonCode::RepositoryRefused,
            ),
            (
                "remote: Not found.\nfatal: repository 'http://f/a/' not found\n",
                ReasonCode::RepositoryRefused,
            ),
            (
                "fatal: unable to access 'http://f/': The requested URL returned error: 502\n",
                ReasonCode::ForgeUnavailable,
            ),
            (
                "error: RPC failed; HTTP 429 curl 22\nfatal: error reading section header\n",
                ReasonCode::ForgeUnavailable,
            ),
            (
                "fatal: unable to access 'http://f/': Could not resolve host: f\n",
                ReasonCode::ForgeUnavailable,
            ),
            (
                "fatal: unable to access 'http://f/': Failed to connect to f port 80\n",
                ReasonCode::ForgeUnavailable,
            ),
            (
                "fatal: unable to access 'https://f/': SSL certificate problem: expired\n",
                ReasonCode::ForgeUnavailable,
            ),
            ("error: RPC failed; curl 18 transfer closed\nfatal: early EOF\n", ReasonCode::ForgeUnavailable),
            (
                "error: object file objects/aa/bb is empty\nfatal: loose object aabb is corrupt\n",
                ReasonCode::Internal,
            ),
            ("fatal: write error: No space left on device\n", ReasonCode::Internal),
            ("", ReasonCode::Internal),
        ];
        for (stderr, code) in rows {
            assert_eq!(Reason::from(&classify(stderr)).code, code, "{stderr}");
        }
    }

    #[test]
    fn the_message_is_what_git_calls_fatal() {
        let error = classify("remote: Not found.\nfatal: repository 'http://f/a/' not found\nmore\n");
        assert_eq!(
            error.to_string(),
            "the forge refused access to the repository: repository 'http://f/a/' not found"
        );
        assert!(classify(&"x".repeat(5000)).to_string().len() < 400);
    }

    #[test]
    fn a_commit_that_is_not_given_out() {
        for text in [
            "fatal: remote error: upload-pack: not our ref aa\n",
            "error: Server does not allow request for unadvertised object aa\n",
            "fatal: couldn't find remote ref refs/heads/gone\n",
        ] {
            assert!(is_not_given_out(text), "{text}");
        }
        assert!(!is_not_given_out("fatal: early EOF\n"));
    }
}

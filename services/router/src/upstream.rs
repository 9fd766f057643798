//! Fixed routes: hosts and paths that go to a part of the platform itself.

use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use url::Url;

/// `HOST[/PATH]=URL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upstream {
    host: String,
    /// Without a slash at its end; empty: all paths.
    path: String,
    pub(crate) authority: Arc<str>,
}

impl FromStr for Upstream {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Upstream> {
        let (from, to) = text.split_once('=').context("expected HOST[/PATH]=URL")?;
        let (host, path) = from.trim().split_at(from.trim().find('/').unwrap_or(from.trim().len()));
        ensure!(!host.is_empty(), "expected a host before the path and `=`");
        let url: Url = to.trim().parse().context("expected a URL such as http://service:8080 after `=`")?;
        ensure!(url.scheme() == "http", "only http:// upstreams are supported, not {}://", url.scheme());
        ensure!(matches!(url.path(), "" | "/"), "an upstream's URL has no path: requests keep theirs");
        let name = url.host_str().context("the URL has no host")?;
        Ok(Upstream {
            host: bare_host(host).to_ascii_lowercase(),
            path: path.trim_end_matches('/').to_owned(),
            authority: format!("{name}:{}", url.port_or_known_default().unwrap_or(80)).into(),
        })
    }
}

/// The route for a request: of those that match, the one with the longest path.
pub(crate) fn find<'a>(upstreams: &'a [Upstream], host: &str, path: &str) -> Option<&'a Upstream> {
    upstreams.iter().filter(|it| it.host == host && is_under(path, &it.path)).max_by_key(|it| it.path.len())
}

fn is_under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A host without its port, which may be an IPv6 address in brackets.
pub(crate) fn bare_host(host: &str) -> &str {
    let end = host.rfind(':').filter(|colon| !host[*colon..].contains(']')).unwrap_or(host.len());
    host[..end].trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(texts: &[&str]) -> Vec<Upstream> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_longest_path_wins() {
        let upstreams = all(&[
            "s.localhost=http://web",
            "s.localhost/hooks=http://receiver:81",
            "f.localhost=http://[::1]:3000/",
        ]);
        let to = |host, path| find(&upstreams, host, path).map(|it| it.authority.to_string());
        assert_eq!(to("s.localhost", "/").as_deref(), Some("web:80"));
        assert_eq!(to("s.localhost", "/hooks").as_deref(), Some("receiver:81"));
        assert_eq!(to("s.localhost", "/hooks/1").as_deref(), Some("receiver:81"));
        assert_eq!(to("s.localhost", "/hooksmith").as_deref(), Some("web:80"));
        assert_eq!(to("f.localhost", "/x").as_deref(), Some("[::1]:3000"));
        assert_eq!(to("g.localhost", "/"), None);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, word) in [
            ("s.localhost", "HOST[/PATH]=URL"),
            ("/x=http://a", "a host before"),
            ("s=web:80", "only http://"),
            ("s=web", "expected a URL"),
            ("s=https://web", "only http://"),
            ("s=http://web/sub", "no path"),
        ] {
            let error = text.parse::<Upstream>().unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn hosts_lose_their_port() {
        for (host, bare) in
            [("a.b:80", "a.b"), ("a.b", "a.b"), ("a.b.", "a.b"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]")]
        {
            assert_eq!(bare_host(host), bare);
        }
    }
}

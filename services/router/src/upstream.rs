//! Fixed routes: hosts and paths that go to a part of the platform itself.

use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use url::Url;

/// `HOST[/PATH]=URL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upstream {
    host: String,
    paths: Paths,
    pub(crate) authority: Arc<str>,
}

/// The paths of a host that an upstream serves.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Paths {
    All,
    /// `/*.git`: those whose first segment ends so, with a name before it, and what is under them.
    Ending(String),
    /// This path, without a slash at its end, and what is under it.
    Under(String),
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
            paths: path.parse()?,
            authority: format!("{name}:{}", url.port_or_known_default().unwrap_or(80)).into(),
        })
    }
}

impl FromStr for Paths {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Paths> {
        let path = text.trim_end_matches('/');
        if let Some(ending) = path.strip_prefix("/*") {
            let is_one = !ending.is_empty() && !ending.contains(['*', '/']);
            ensure!(
                is_one,
                "a pattern is one segment with one star at its start, such as /*.git, not {path}"
            );
            return Ok(Paths::Ending(ending.to_owned()));
        }
        ensure!(
            !path.contains('*'),
            "a star stands only at the start of the path, such as /*.git, not {path}"
        );
        Ok(if path.is_empty() { Paths::All } else { Paths::Under(path.to_owned()) })
    }
}

impl Paths {
    fn contain(&self, path: &str) -> bool {
        match self {
            Paths::All => true,
            Paths::Ending(ending) => {
                first_segment(path).strip_suffix(ending.as_str()).is_some_and(|it| !it.is_empty())
            }
            Paths::Under(prefix) => path
                .strip_prefix(prefix.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        }
    }

    /// Of two that contain a path, the one that says more about it is greater.
    fn rank(&self) -> (u8, usize) {
        match self {
            Paths::All => (0, 0),
            Paths::Ending(ending) => (1, ending.len()),
            Paths::Under(prefix) => (2, prefix.len()),
        }
    }
}

fn first_segment(path: &str) -> &str {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.split('/').next().unwrap_or_default()
}

/// The route for a request: of those that match, the one that names most of the path.
pub(crate) fn find<'a>(upstreams: &'a [Upstream], host: &str, path: &str) -> Option<&'a Upstream> {
    upstreams.iter().filter(|it| it.host == host && it.paths.contain(path)).max_by_key(|it| it.paths.rank())
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
    fn repositories_have_a_pattern() {
        let upstreams = all(&[
            "s=http://web",
            "s/*.git=http://receiver",
            "s/hooks=http://hooks",
            "s/mine.git=http://mine",
        ]);
        let to = |path| find(&upstreams, "s", path).map(|it| it.authority.to_string()).unwrap();
        for path in
            ["/demo.git", "/demo.git/", "/demo.git/info/refs", "/a.b.git/git-receive-pack", "/x.git.git"]
        {
            assert_eq!(to(path), "receiver:80", "{path}");
        }
        for path in [
            "/",
            "/demo",
            "/.git/config",
            "/demo.gitx",
            "/demo.GIT",
            "/apps/demo.git",
            "//demo.git",
            "/demogit",
        ] {
            assert_eq!(to(path), "web:80", "{path}");
        }
        assert_eq!(to("/hooks/a.git"), "hooks:80");
        assert_eq!(to("/mine.git/info/refs"), "mine:80", "a path that is spelled out wins over a pattern");
        assert!(find(&upstreams[1..], "other", "/demo.git").is_none());
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
            ("s/*=http://web", "one segment"),
            ("s/*.git/info=http://web", "one segment"),
            ("s/*x*=http://web", "one segment"),
            ("s/a*=http://web", "only at the start"),
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

//! What BuildKit is to attest of an image: SLSA provenance, with the commit and the plan in it. Pure.

use std::collections::BTreeMap;

/// Names the platform that built, as the predicate's format wants: by a URI.
const BUILDER_ID: &str = "urn:slipway:builder";

/// What a build's provenance says beside what BuildKit knows by itself. All of it can be read by whoever pulls the image.
#[derive(Clone, Copy, Debug)]
pub struct Attested<'a> {
    pub commit: &'a str,
    /// The URL of the repository, when there is a forge.
    pub repository: Option<&'a str>,
    pub app: &'a str,
    pub build: i32,
    /// How it is built, in a sentence or as JSON; no values of build arguments or secrets.
    pub plan: &'a str,
}

/// Options of the Dockerfile frontend. With them the digest that BuildKit answers is that of an index over the image and
/// its provenance. The format's version is said, because BuildKit's own choice changes between its releases.
pub fn attributes(attested: &Attested<'_>) -> BTreeMap<String, String> {
    let provenance = format!("mode=min,version=v1,builder-id={BUILDER_ID}");
    let mut attributes = BTreeMap::from([
        ("attest:provenance".to_owned(), provenance),
        ("vcs:revision".to_owned(), attested.commit.to_owned()),
        // Of no meaning to the frontend: `min` leaves out build arguments and labels and keeps these.
        ("slipway:app".to_owned(), attested.app.to_owned()),
        ("slipway:build".to_owned(), attested.build.to_string()),
        ("slipway:plan".to_owned(), attested.plan.to_owned()),
    ]);
    if let Some(repository) = attested.repository {
        attributes.insert("vcs:source".to_owned(), without_login(repository));
    }
    attributes
}

/// BuildKit hides the login in one of the two places where it shows the URL.
fn without_login(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTESTED: Attested<'_> = Attested {
        commit: "9f3c2ab1",
        repository: Some("https://ada:s3cret@forge.example/slip/demo.git"),
        app: "demo",
        build: 7,
        plan: "the Dockerfile at Dockerfile",
    };

    #[test]
    fn the_commit_and_the_plan_are_in_it_and_no_login() {
        let attributes = attributes(&ATTESTED);
        assert_eq!(attributes["vcs:revision"], "9f3c2ab1");
        assert_eq!(attributes["vcs:source"], "https://forge.example/slip/demo.git");
        assert_eq!(attributes["slipway:plan"], "the Dockerfile at Dockerfile");
        assert!(attributes["attest:provenance"].contains("version=v1"), "{attributes:?}");
        assert!(!format!("{attributes:?}").contains("s3cret"));
    }

    #[test]
    fn an_application_without_a_forge_has_no_source() {
        let pushed = Attested { repository: None, ..ATTESTED };
        assert!(!attributes(&pushed).contains_key("vcs:source"));
    }

    #[test]
    fn urls_without_their_login() {
        for (url, without) in [
            ("http://forge.example/a@b", "http://forge.example/a@b"),
            ("https://u:p@w@h:8/x", "https://h:8/x"),
            ("https://u@h", "https://h"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(without_login(url), without);
        }
    }
}

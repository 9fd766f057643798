//! Where a repository is, and with which name and token it is read.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

#[derive(Clone, Debug)]
pub struct Credentials {
    user: String,
    token: SecretString,
}

impl Credentials {
    /// Where only the token counts, any user name does.
    pub fn new(user: Option<&str>, token: &str) -> Credentials {
        Credentials { user: user.unwrap_or("slipway").to_owned(), token: token.into() }
    }
}

/// A repository on a forge. Its URL holds no credentials: those reach git through its environment only, so neither
/// process lists nor messages ever show them.
#[derive(Clone, Debug)]
pub struct Remote {
    url: String,
    credentials: Option<Credentials>,
    protocols: &'static str,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRemote {
    #[error("{0:?} is not a URL: write it like https://forge.example/user/repository.git")]
    Url(String),
    #[error("the repository's URL starts with {0}://: only http:// and https:// are supported")]
    Scheme(String),
    #[error(
        "the repository's URL holds a user or a token: give them as the application's forge user and token"
    )]
    Credentials,
}

impl Remote {
    pub fn new(url: &str, credentials: Option<Credentials>) -> Result<Remote, BadRemote> {
        let parsed = Url::parse(url).ok().filter(Url::has_host);
        // The URL is not repeated where it may hold a token.
        let parsed = parsed.ok_or_else(|| match url.contains('@') {
            true => BadRemote::Credentials,
            false => BadRemote::Url(url.chars().take(200).collect()),
        })?;
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(BadRemote::Credentials);
        }
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(BadRemote::Scheme(parsed.scheme().to_owned()));
        }
        Ok(Remote { url: parsed.into(), credentials, protocols: "http:https" })
    }

    #[cfg(test)]
    pub(crate) fn local(directory: &std::path::Path) -> Remote {
        Remote { url: format!("file://{}", directory.display()), credentials: None, protocols: "file" }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The transports git may use, also when the forge redirects.
    pub(crate) const fn protocols(&self) -> &'static str {
        self.protocols
    }

    /// The header that carries the credentials.
    pub(crate) fn authorization(&self) -> Option<SecretString> {
        let Credentials { user, token } = self.credentials.as_ref()?;
        let pair = BASE64_STANDARD.encode(format!("{user}:{}", token.expose_secret()));
        Some(format!("Authorization: Basic {pair}").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_web_urls_without_credentials() {
        for good in ["http://forge:3000/a/b.git", "https://forge.example/a/b"] {
            assert_eq!(Remote::new(good, None).unwrap().url(), good);
        }
        for (bad, why) in [
            ("https://user:token@forge.example/a", BadRemote::Credentials),
            ("https://token@forge.example/a", BadRemote::Credentials),
            ("git@forge.example:a/b.git", BadRemote::Credentials),
            ("ssh://forge.example/a", BadRemote::Scheme("ssh".to_owned())),
            ("file:///srv/a.git", BadRemote::Url("file:///srv/a.git".to_owned())),
            ("ext::sh -c true", BadRemote::Url("ext::sh -c true".to_owned())),
            ("--upload-pack=evil", BadRemote::Url("--upload-pack=evil".to_owned())),
            ("/srv/a.git", BadRemote::Url("/srv/a.git".to_owned())),
        ] {
            assert_eq!(Remote::new(bad, None).unwrap_err(), why, "{bad}");
        }
    }

    #[test]
    fn the_token_is_shown_nowhere() {
        let credentials = Credentials::new(Some("bot"), "s3cret");
        let remote = Remote::new("https://forge.example/a", Some(credentials)).unwrap();
        assert!(!format!("{remote:?}").contains("s3cret"));
        let header = remote.authorization().unwrap();
        assert_eq!(header.expose_secret(), "Authorization: Basic Ym90OnMzY3JldA==");
    }
}

//! Logins from a docker `config.json`, by registry host.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use serde::Deserialize;

/// Docker Hub has one name in image references, one in config.json and one for its API; BuildKit asks by the last.
const DOCKER_HUB: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// User and secret by registry host. Empty: everything is asked anonymously.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    logins: BTreeMap<String, (String, SecretString)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
    #[serde(default)]
    creds_store: String,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
struct Auth {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    identitytoken: String,
}

impl Credentials {
    /// Reads a docker config.json; no path, no credentials.
    pub fn load(path: Option<&Path>) -> Result<Credentials> {
        let Some(path) = path else {
            return Ok(Credentials::default());
        };
        let read =
            std::fs::read(path).map_err(anyhow::Error::from).and_then(|json| Credentials::parse(&json));
        read.with_context(|| format!("cannot use the registry credentials in {}", path.display()))
    }

    pub fn parse(json: &[u8]) -> Result<Credentials> {
        let config: DockerConfig = serde_json::from_slice(json).context("it is not a docker config.json")?;
        if let Some(helper) =
            config.cred_helpers.values().chain([&config.creds_store]).find(|it| !it.is_empty())
        {
            bail!(
                "it asks the credential helper {helper:?}, which cannot run here: write the logins into \"auths\""
            );
        }
        let mut logins = BTreeMap::new();
        for (server, auth) in config.auths {
            let login = login(auth).with_context(|| format!("the login for {server} cannot be used"))?;
            logins.insert(host(&server).to_owned(), login);
        }
        Ok(Credentials { logins })
    }

    /// By host as BuildKit names it.
    pub fn logins(&self) -> &BTreeMap<String, (String, SecretString)> {
        &self.logins
    }

    pub(crate) fn login(&self, registry: &str) -> Option<&(String, SecretString)> {
        self.logins.get(host(registry))
    }
}

fn login(auth: Auth) -> Result<(String, SecretString)> {
    if !auth.identitytoken.is_empty() {
        bail!("identity tokens are not supported: use a user and a password or token");
    }
    if auth.auth.is_empty() {
        if auth.username.is_empty() {
            bail!("it has neither \"auth\" nor \"username\" and \"password\"");
        }
        return Ok((auth.username, auth.password.into()));
    }
    let decoded = STANDARD.decode(auth.auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let (user, secret) = decoded
        .as_deref()
        .and_then(|it| it.split_once(':'))
        .context("\"auth\" is not base64 of USER:SECRET")?;
    Ok((user.to_owned(), secret.into()))
}

/// Config files write `https://HOST/v1/` for what is `HOST` elsewhere.
fn host(server: &str) -> &str {
    let server = server.split_once("://").map_or(server, |(_, rest)| rest);
    let host = server.split('/').next().unwrap_or(server);
    if DOCKER_HUB.contains(&host) { DOCKER_HUB[2] } else { host }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn logins_of_all_forms() {
        // "ada:lovelace:1"
        let json = br#"{"auths": {
            "registry:5000": {"auth": "YWRhOmxvdmVsYWNlOjE="},
            "https://index.docker.io/v1/": {"username": "bob", "password": "b"},
            "https://r.example/": {"username": "eve", "password": "e", "auth": ""}
        }, "HttpHeaders": {}}"#;
        let credentials = Credentials::parse(json).unwrap();
        let login = |registry| {
            credentials.login(registry).map(|(user, secret)| (user.as_str(), secret.expose_secret()))
        };
        assert_eq!(login("registry:5000"), Some(("ada", "lovelace:1")));
        assert_eq!(login("docker.io"), Some(("bob", "b")));
        assert_eq!(login("r.example"), Some(("eve", "e")));
        assert_eq!(login("r.example:443"), None);
        assert_eq!(
            credentials.logins().keys().collect::<Vec<_>>(),
            ["r.example", "registry-1.docker.io", "registry:5000"]
        );
        assert!(!format!("{credentials:?}").contains("lovelace"));
    }

    #[test]
    fn what_cannot_be_used_says_so() {
        for (json, expected) in [
            (r#"{"credsStore": "desktop"}"#, "credential helper \"desktop\""),
            (r#"{"credHelpers": {"r": "ecr-login"}}"#, "credential helper \"ecr-login\""),
            (r#"{"auths": {"r": {}}}"#, "login for r"),
            (r#"{"auths": {"r": {"auth": "%%"}}}"#, "not base64"),
            (r#"{"auths": {"r": {"identitytoken": "x"}}}"#, "identity tokens"),
            ("auths: {}", "not a docker config.json"),
        ] {
            let error = format!("{:#}", Credentials::parse(json.as_bytes()).unwrap_err());
            assert!(error.contains(expected), "{json}: {error}");
        }
        assert!(Credentials::load(Some(Path::new("/nowhere"))).is_err());
        assert!(Credentials::load(None).unwrap().logins().is_empty());
    }
}

//! Has a registry forget a manifest. What its layers take is freed when the registry collects its own garbage.

use oci_client::Reference;
use oci_client::manifest::OciManifest;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::RegistryError;
use crate::error::classify;
use crate::image::{Registry, resolve};
use crate::provenance::is_attestation;

/// So much of an answer is shown.
const SHOWN_MAX: usize = 300;

/// What became of a manifest that was to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is not there, perhaps since before.
    Gone,
    /// The registry deletes nothing, whatever it is asked.
    NotAllowed,
}

/// Removes `image`, a `HOST/NAME@DIGEST`, and of an index also what is attested beside its images. The images that an
/// index names stay: others may name them too.
pub async fn remove(registry: &Registry, image: &str) -> Result<Removal, RegistryError> {
    let (reference, auth) = resolve(registry, image)?;
    let pulled = registry.client.pull_manifest(&reference, &auth).await;
    let manifest = match pulled.map_err(|error| classify(image, error)) {
        Ok((manifest, _)) => manifest,
        Err(RegistryError::NotFound(_)) => return Ok(Removal::Gone),
        Err(error) => return Err(error),
    };
    // The index last: as long as it is there, the next try finds the rest.
    if let OciManifest::ImageIndex(index) = manifest {
        for entry in index.manifests.iter().filter(|entry| is_attestation(entry)) {
            if delete(registry, &reference, &entry.digest).await? == Removal::NotAllowed {
                return Ok(Removal::NotAllowed);
            }
        }
    }
    let digest = reference.digest().ok_or_else(|| {
        RegistryError::Invalid(format!("{image} is removed by its digest only: a tag may be moved meanwhile"))
    })?;
    delete(registry, &reference, digest).await
}

pub(crate) async fn delete(
    registry: &Registry,
    image: &Reference,
    digest: &str,
) -> Result<Removal, RegistryError> {
    let host = image.resolve_registry();
    let response = ask(registry, image, digest, |url| registry.http.delete(url)).await?;
    let (status, body) = (response.status(), shown(response).await);
    if status.is_success() || status == StatusCode::NOT_FOUND {
        return Ok(Removal::Gone);
    }
    if status == StatusCode::METHOD_NOT_ALLOWED || body.contains("\"UNSUPPORTED\"") {
        return Ok(Removal::NotAllowed);
    }
    Err(refusal(&format!("removing {digest} from {host}/{}", image.repository()), status, &body))
}

/// Asks for the manifest of this digest or tag what `client` cannot ask.
pub(crate) async fn ask(
    registry: &Registry,
    image: &Reference,
    manifest: &str,
    request: impl Fn(&str) -> RequestBuilder,
) -> Result<Response, RegistryError> {
    let host = image.resolve_registry();
    let scheme = if registry.insecure_hosts.iter().any(|it| it == host) { "http" } else { "https" };
    let url = format!("{scheme}://{host}/v2/{}/manifests/{manifest}", image.repository());
    let login = registry.credentials.login(image.registry());
    let response = send(with_login(request(&url), login), &url).await?;
    match challenge(&response) {
        // A registry that gives out tokens says in its refusal for what.
        Some(challenge) if response.status() == StatusCode::UNAUTHORIZED => {
            let token = token(registry, &challenge, login, scheme == "http").await?;
            send(request(&url).bearer_auth(token.expose_secret()), &url).await
        }
        _ => Ok(response),
    }
}

pub(crate) async fn shown(response: Response) -> String {
    response.text().await.unwrap_or_default().chars().take(SHOWN_MAX).collect()
}

/// What an answer means that is neither a success nor expected.
pub(crate) fn refusal(what: &str, status: StatusCode, body: &str) -> RegistryError {
    let message = format!("{what}: {status}: {}", body.trim());
    match status.as_u16() {
        401 | 403 => RegistryError::Refused(message),
        429 | 500.. => RegistryError::Unavailable(message),
        _ => RegistryError::Invalid(message),
    }
}

type Login = (String, SecretString);

fn with_login(request: RequestBuilder, login: Option<&Login>) -> RequestBuilder {
    match login {
        Some((user, secret)) => request.basic_auth(user, Some(secret.expose_secret())),
        None => request,
    }
}

async fn send(request: RequestBuilder, url: &str) -> Result<Response, RegistryError> {
    request
        .send()
        .await
        .map_err(|error| RegistryError::Unavailable(format!("{url}: {}", error.without_url())))
}

/// Where a token is given out, and for what.
#[derive(Debug, Default, PartialEq, Eq)]
struct Challenge {
    realm: String,
    service: Option<String>,
    scope: Option<String>,
}

fn challenge(response: &Response) -> Option<Challenge> {
    let headers: &HeaderMap = response.headers();
    parse_challenge(headers.get(WWW_AUTHENTICATE)?.to_str().ok()?)
}

/// `Bearer realm="https://auth.example/token",service="registry",scope="repository:demo:delete"`
fn parse_challenge(text: &str) -> Option<Challenge> {
    let (kind, mut rest) = text.split_once(' ')?;
    if !kind.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let mut challenge = Challenge::default();
    while let Some((name, after)) = rest.split_once("=\"") {
        let (value, after) = after.split_once('"')?;
        match name.trim_matches([' ', ',']) {
            "realm" => value.clone_into(&mut challenge.realm),
            "service" => challenge.service = Some(value.to_owned()),
            "scope" => challenge.scope = Some(value.to_owned()),
            _ => {}
        }
        rest = after;
    }
    (!challenge.realm.is_empty()).then_some(challenge)
}

/// Some write the token under both names.
#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
}

async fn token(
    registry: &Registry,
    challenge: &Challenge,
    login: Option<&Login>,
    may_be_plain: bool,
) -> Result<SecretString, RegistryError> {
    let invalid = |what: &str| RegistryError::Invalid(format!("the registry sends for a token to {what}"));
    let realm: Url = challenge.realm.parse().map_err(|_| invalid("what is no URL"))?;
    if realm.scheme() != "https" && !may_be_plain {
        return Err(invalid("where a login would be read by others"));
    }
    let named = [("service", &challenge.service), ("scope", &challenge.scope)];
    let query: Vec<_> = named.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))).collect();
    let mut url = realm;
    url.query_pairs_mut().extend_pairs(query);
    let response = send(with_login(registry.http.get(url.clone()), login), url.as_str()).await?;
    let status = response.status();
    if !status.is_success() {
        let message = format!("{}{}: {status}", url.host_str().unwrap_or_default(), url.path());
        return Err(if status.is_server_error() {
            RegistryError::Unavailable(message)
        } else {
            RegistryError::Refused(message)
        });
    }
    let none = || invalid("where none is given out");
    let answer: Answer = response.json().await.map_err(|_| none())?;
    answer.token.or(answer.access_token).map(SecretString::from).ok_or_else(none)
}

#[cfg(test)]
mod tests;

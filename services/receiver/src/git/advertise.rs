//! `GET /<application>.git/info/refs`: what a client is shown before it pushes or fetches. Heads come from PostgreSQL.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::commit::Commit;
use domain::scope::Scope;
use gitrepo::bare;
use gitwire::{advertisement, pkt_line};
use tokio::io::AsyncReadExt as _;

use super::Git;
use super::auth::{self, Asker, Refusal, Target};

const AGENT: &str = concat!("slipway/", env!("CARGO_PKG_VERSION"));
/// Of an advertisement: some hundred thousand refs.
const ADVERTISED_MAX: u64 = 64 << 20;

#[derive(serde::Deserialize)]
pub(super) struct Asked {
    service: Option<String>,
}

pub(super) async fn advertise(
    State(git): State<Arc<Git>>,
    Path(repository): Path<String>,
    Query(asked): Query<Asked>,
    request: Parts,
) -> Response {
    let answer = match asked.service.as_deref() {
        Some("git-receive-pack") => for_push(&git, &repository, &request).await,
        Some("git-upload-pack") => for_fetch(&git, &repository, &request).await,
        _ => Err(Refusal::new(StatusCode::FORBIDDEN, "only git's smart HTTP protocol is spoken here")),
    };
    answer.unwrap_or_else(IntoResponse::into_response)
}

async fn for_push(git: &Git, repository: &str, request: &Parts) -> Result<Response, Refusal> {
    let (_, target) =
        auth::admit(git, &request.headers, &request.extensions, repository, Scope::Push).await?;
    let refs = match target {
        Target::New(_) => Vec::new(),
        Target::App(app) => {
            let repository = git.repositories.repository(app.id);
            let tags = tokio::task::spawn_blocking(move || repository.tags());
            let (heads, tags) = tokio::join!(store::branch::heads(&git.db, app.id), tags);
            refs(heads?, tags??)?
        }
    };
    Ok(advertised("git-receive-pack", advertisement::receive_pack(&refs, AGENT)))
}

fn refs(heads: Vec<(String, String)>, tags: Vec<(String, Commit)>) -> anyhow::Result<Vec<(String, Commit)>> {
    let mut refs = Vec::with_capacity(heads.len() + tags.len());
    for (branch, head) in heads {
        refs.push((format!("refs/heads/{branch}"), Commit::parse(&head)?));
    }
    refs.extend(tags);
    Ok(refs)
}

async fn for_fetch(git: &Git, repository: &str, request: &Parts) -> Result<Response, Refusal> {
    let (asker, target) =
        auth::admit(git, &request.headers, &request.extensions, repository, Scope::Read).await?;
    let Target::App(app) = target else {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "there is no such repository"));
    };
    let repository = git.repositories.repository(app.id);
    repository.ensure()?;
    git.project(app.id, &repository).await?;
    let mut child = repository.upload_pack(as_bare(&asker), protocol(&request.headers), true)?;
    let mut body = Vec::new();
    pkt_line::encode(b"# service=git-upload-pack\n", &mut body);
    body.extend_from_slice(pkt_line::FLUSH);
    if let Some(stdout) = child.stdout.take() {
        stdout.take(ADVERTISED_MAX).read_to_end(&mut body).await?;
    }
    if !child.wait().await?.success() {
        return Err(anyhow::anyhow!("git upload-pack could not say what it has").into());
    }
    Ok(advertised("git-upload-pack", body))
}

pub(super) const fn as_bare(asker: &Asker) -> bare::Asker {
    match asker {
        Asker::Client(_) => bare::Asker::Client,
        Asker::Builder(_) => bare::Asker::Builder,
    }
}

/// The protocol's version that the client speaks.
pub(super) fn protocol(headers: &HeaderMap) -> Option<&str> {
    headers.get("git-protocol")?.to_str().ok()
}

fn advertised(service: &str, body: Vec<u8>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, format!("application/x-{service}-advertisement")),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
    ];
    (headers, body).into_response()
}

//! `POST /<application>.git/git-upload-pack`: clones and fetches, of users and of our own builder.

use std::io::Read as _;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::scope::Scope;
use flate2::read::GzDecoder;
use futures::stream;
use http_body_util::{BodyExt as _, Limited};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdout};

use super::Git;
use super::advertise::{as_bare, protocol};
use super::auth::{self, Refusal, Target};

const REQUEST: &str = "application/x-git-upload-pack-request";
const RESULT: &str = "application/x-git-upload-pack-result";
/// What a client has and wants, inflated: some hundred thousand lines.
const REQUEST_MAX: usize = 16 << 20;
const CHUNK: usize = 64 << 10;

pub(super) async fn upload(
    State(git): State<Arc<Git>>,
    Path(repository): Path<String>,
    request: Request,
) -> Response {
    let answer = async {
        let (asker, target) =
            auth::admit(&git, request.headers(), request.extensions(), &repository, Scope::Read).await?;
        let Target::App(app) = target else {
            return Err(Refusal::new(StatusCode::NOT_FOUND, "there is no such repository"));
        };
        let (parts, body) = request.into_parts();
        if parts.headers.get(header::CONTENT_TYPE).is_none_or(|it| it.as_bytes() != REQUEST.as_bytes()) {
            let text = format!("a fetch has content type {REQUEST}");
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
        }
        let wanted = read(&parts.headers, body).await?;
        let repository = git.repositories.repository(app.id);
        let child = repository.upload_pack(as_bare(&asker), protocol(&parts.headers), false)?;
        answer(&git, child, wanted)
    };
    answer.await.unwrap_or_else(IntoResponse::into_response)
}

async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Refusal> {
    let too_large = || Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large; clone anew");
    let body = Limited::new(body, REQUEST_MAX).collect().await.map_err(|_| too_large())?.to_bytes();
    match headers.get(header::CONTENT_ENCODING).map(header::HeaderValue::as_bytes) {
        None | Some(b"identity") => Ok(body),
        Some(b"gzip" | b"x-gzip") => {
            let mut inflated = Vec::new();
            let limit = REQUEST_MAX as u64 + 1;
            let read = GzDecoder::new(&body[..]).take(limit).read_to_end(&mut inflated);
            match read {
                Ok(_) if inflated.len() > REQUEST_MAX => Err(too_large()),
                Ok(_) => Ok(inflated.into()),
                Err(_) => {
                    Err(Refusal::new(StatusCode::BAD_REQUEST, "the request is no gzip although it says so"))
                }
            }
        }
        Some(_) => Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "only gzip is understood")),
    }
}

/// Both directions at once: git answers while it still reads.
fn answer(git: &Git, mut child: Child, wanted: Bytes) -> Result<Response, Refusal> {
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(anyhow::anyhow!("git has no pipes").into());
    };
    git.tasks.spawn(async move {
        // A child that stops reading has its reasons, and says them.
        stdin.write_all(&wanted).await.ok();
    });
    let headers = [(header::CONTENT_TYPE, RESULT), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, Body::from_stream(stream::try_unfold(Some((child, stdout)), chunk))).into_response())
}

/// The child goes with the stream: it is killed when the client goes away.
async fn chunk(
    state: Option<(Child, ChildStdout)>,
) -> std::io::Result<Option<(Bytes, Option<(Child, ChildStdout)>)>> {
    let Some((mut child, mut stdout)) = state else { return Ok(None) };
    let mut buffer = vec![0; CHUNK];
    let count = stdout.read(&mut buffer).await?;
    if count > 0 {
        buffer.truncate(count);
        return Ok(Some((buffer.into(), Some((child, stdout)))));
    }
    if child.wait().await?.success() {
        return Ok(None);
    }
    // Not a clean end of the answer: the client must not take half a pack for a whole one.
    Err(std::io::Error::other("git upload-pack failed"))
}

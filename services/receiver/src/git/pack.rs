//! `GET /<application>.git/pack?want=ID&have=ID,ID`: what a builder misses of a commit, made without a git child.

use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::commit::Commit;
use domain::scope::Scope;
use serde::Deserialize;

use super::Git;
use super::auth::{self, Asker, Refusal, Target};

#[derive(Debug, Deserialize)]
pub(super) struct Missing {
    want: String,
    /// Commits whose objects the builder has, separated by commas.
    have: String,
}

/// 204 when git is to be asked instead: there is no such commit, no known one to start from, or too much to send.
pub(super) async fn pack(
    State(git): State<Arc<Git>>,
    Path(repository): Path<String>,
    Query(missing): Query<Missing>,
    request: Request,
) -> Response {
    let answer = async move {
        let admitted =
            auth::admit(&git, request.headers(), request.extensions(), &repository, Scope::Read).await?;
        // Git checks what a client may see of a repository; this does not.
        let (Asker::Builder(_), Target::App(app)) = admitted else {
            return Err(Refusal::new(StatusCode::NOT_FOUND, "this is for builders; fetch with git"));
        };
        let parsed = commits(&missing);
        let (want, have) = parsed.map_err(|why| Refusal::new(StatusCode::BAD_REQUEST, why))?;
        let repository = git.repositories.repository(app.id);
        let pack = tokio::task::spawn_blocking(move || repository.missing(&want, &have)).await??;
        Ok(match pack {
            Some(pack) => {
                ([(header::CONTENT_TYPE, "application/x-git-packed-objects")], pack).into_response()
            }
            None => StatusCode::NO_CONTENT.into_response(),
        })
    };
    answer.await.unwrap_or_else(IntoResponse::into_response)
}

fn commits(missing: &Missing) -> Result<(Commit, Vec<Commit>), String> {
    let parse = |id: &str| Commit::parse(id).map_err(|error| error.to_string());
    let have = missing.have.split(',').filter(|it| !it.is_empty()).map(parse).collect::<Result<_, _>>()?;
    Ok((parse(&missing.want)?, have))
}

//! Tokens: who may do what. The secret of one is in no answer but the first.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use host::Problem;

use super::apps::{invalid, read};
use crate::auth::Caller;
use crate::tokens::{self, CreatedToken, Outcome, Revoked, WantedToken};
use crate::{Web, load, view};

#[derive(serde::Serialize, utoipa::ToSchema)]
pub(super) struct Tokens {
    tokens: Vec<view::Token>,
}

/// All tokens
#[utoipa::path(get, path = "/tokens", security(("token" = ["admin"])), responses((status = OK, body = Tokens)))]
pub(super) async fn list(State(web): State<Web>) -> Result<Json<Tokens>, Problem> {
    Ok(Json(Tokens { tokens: load::tokens(&web).await? }))
}

/// Create a token
#[utoipa::path(post, path = "/tokens", security(("token" = ["admin"])), request_body = WantedToken, responses(
    (status = CREATED, body = CreatedToken),
    (status = CONFLICT, description = "there is a token of this name"),
    (status = UNPROCESSABLE_ENTITY, description = "`errors` names each wrong field"),
))]
pub(super) async fn create(
    State(web): State<Web>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Result<Response, Problem> {
    let wanted: WantedToken = read(&body)?;
    match tokens::create(&web, &caller, &wanted).await? {
        Outcome::Created(created) => Ok((StatusCode::CREATED, Json(created)).into_response()),
        Outcome::Wrong(errors) => Ok(invalid(&errors)),
        Outcome::Taken => {
            let taken = format!("there is a token called {:?}: revoke it first", wanted.name);
            Err(Problem::client(StatusCode::CONFLICT, taken))
        }
    }
}

/// Revoke a token by its id or its name; logins that were made with it end
#[utoipa::path(delete, path = "/tokens/{id}", security(("token" = ["admin"])), params(("id" = String, Path)), responses(
    (status = NO_CONTENT, description = "it is known no more"),
    (status = NOT_FOUND, description = "there is no such token"),
    (status = CONFLICT, description = "it was made at install, and is replaced in its Secret"),
))]
pub(super) async fn revoke(State(web): State<Web>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    match tokens::revoke(&web, &id).await? {
        Revoked::Gone => Ok(StatusCode::NO_CONTENT),
        Revoked::Unknown => Err(Problem::not_found(format!("there is no token {id:?}"))),
        Revoked::Kept => Err(kept()),
    }
}

fn kept() -> Problem {
    let detail = "this token was made at install: change it in the Secret slipway-admin, and the next start replaces it";
    Problem::client(StatusCode::CONFLICT, detail)
}

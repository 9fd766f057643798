//! What is kept, what is garbage, and what was removed: the numbers of all kinds.

use axum::Json;
use axum::extract::State;
use host::Problem;

use crate::{Web, load, view};

#[derive(serde::Serialize, utoipa::ToSchema)]
pub(super) struct AllGarbage {
    /// Only kinds that were looked for.
    kinds: Vec<view::Garbage>,
}

/// What is kept, what is garbage, and what was removed, with the rules by which that goes
#[utoipa::path(get, path = "/garbage", security(("token" = ["admin"])), responses((status = OK, body = AllGarbage)))]
pub(super) async fn show(State(web): State<Web>) -> Result<Json<AllGarbage>, Problem> {
    Ok(Json(AllGarbage { kinds: load::garbage(&web).await? }))
}

//! The teams that share the builders.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::job::JobKind;
use domain::name;
use host::Problem;
use store::team::{self, NUMBER_MAX};

use super::apps::{invalid, read};
use crate::Web;
use crate::create::FieldError;

#[derive(serde::Serialize, utoipa::ToSchema)]
pub(super) struct Teams {
    teams: Vec<Team>,
}

#[derive(serde::Serialize, utoipa::ToSchema)]
struct Team {
    name: String,
    /// How many turns it gets for one turn of a team of weight 1.
    weight: i32,
    /// So many of its builds run at a time; nothing: as many as there are builders.
    build_limit: Option<i32>,
    apps: i64,
    waiting: i64,
    running: i64,
}

/// All teams, with what waits and runs of each
#[utoipa::path(get, path = "/teams", security(("token" = ["admin"])), responses((status = OK, body = Teams)))]
pub(super) async fn list(State(web): State<Web>) -> Result<Json<Teams>, Problem> {
    let teams = team::list(&web.db).await?.into_iter().map(|row| Team {
        name: row.name,
        weight: row.weight,
        build_limit: row.build_limit,
        apps: row.apps,
        waiting: row.waiting,
        running: row.running,
    });
    Ok(Json(Teams { teams: teams.collect() }))
}

/// What is to change of a team; what is left out stays.
#[derive(serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WantedTeam {
    /// 1 to 1000
    weight: Option<i32>,
    /// 1 to 1000 builds at a time; 0: as many as there are builders.
    build_limit: Option<i32>,
}

/// Make or change a team
#[utoipa::path(put, path = "/teams/{name}", security(("token" = ["admin"])), params(("name" = String, Path)),
    request_body = WantedTeam, responses(
        (status = NO_CONTENT, description = "it is as wanted"),
        (status = UNPROCESSABLE_ENTITY, description = "`errors` names each wrong field"),
    ))]
pub(super) async fn set(
    State(web): State<Web>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    let wanted: WantedTeam = read(&body)?;
    let mut errors = Vec::new();
    if let Err(error) = name::check_app(&name) {
        errors.push(FieldError { field: "name", detail: error.to_string() });
    }
    errors.extend(check_number("weight", wanted.weight, 1));
    errors.extend(check_number("build_limit", wanted.build_limit, 0));
    if !errors.is_empty() {
        return Ok(invalid(&errors));
    }
    let limit = wanted.build_limit.map(|limit| Some(limit).filter(|limit| *limit > 0));
    let mut tx = web.db.begin().await?;
    team::set(&mut tx, &name, wanted.weight, limit).await?;
    tx.commit().await?;
    store::worker::wake(&web.db, &[JobKind::Build]).await;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) fn check_number(field: &'static str, number: Option<i32>, least: i32) -> Option<FieldError> {
    let detail = || format!("give a number from {least} to {NUMBER_MAX}");
    number
        .filter(|number| !(least..=NUMBER_MAX).contains(number))
        .map(|_| FieldError { field, detail: detail() })
}

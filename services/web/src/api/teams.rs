//! Who gets how much of the builders: teams, and each application's share.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use domain::job::{BuildPolicy, JobKind};
use domain::name;
use host::Problem;
use store::app::App;
use store::team::{self, Change, NUMBER_MAX};

use super::apps::{invalid, read};
use crate::auth::Caller;
use crate::create::{self, FieldError};
use crate::{Web, load, view};

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

/// What is to change of an application's share; what is left out stays.
#[derive(serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WantedShare {
    /// The name of a team that there is.
    team: Option<String>,
    /// 1 to 1000
    weight: Option<i32>,
    /// 1 to 1000 builds at a time, each of another branch.
    build_limit: Option<i32>,
    /// By branch: `newest`, `every` or `finish-running`.
    #[serde(default)]
    branches: BTreeMap<String, String>,
}

/// Change an application's team, its weight there, how many of its builds run at a time, and which commits are built
#[utoipa::path(patch, path = "/apps/{app}", security(("token" = ["admin"])), params(("app" = String, Path)),
    request_body = WantedShare, responses(
        (status = OK, body = view::App),
        (status = FORBIDDEN, description = "team, weight and limit concern others too: that needs a token for all applications"),
        (status = UNPROCESSABLE_ENTITY, description = "`errors` names each wrong field"),
    ))]
pub(super) async fn change(
    State(web): State<Web>,
    Extension(Caller(caller)): Extension<Caller>,
    Extension(app): Extension<App>,
    body: Bytes,
) -> Result<Response, Problem> {
    let wanted: WantedShare = read(&body)?;
    let concerns_others = wanted.team.is_some() || wanted.weight.is_some() || wanted.build_limit.is_some();
    if concerns_others && caller.app_id.is_some() {
        let detail = "team, weight and limit concern others too: this needs a token for all applications";
        return Err(Problem::client(StatusCode::FORBIDDEN, detail));
    }
    let mut errors = Vec::new();
    errors.extend(check_number("weight", wanted.weight, 1));
    errors.extend(check_number("build_limit", wanted.build_limit, 1));
    let mut policies = Vec::new();
    for (branch, policy) in &wanted.branches {
        match policy.parse::<BuildPolicy>() {
            Ok(policy) if create::is_branch(branch) => policies.push((branch, policy)),
            Ok(_) => errors.push(FieldError {
                field: "branches",
                detail: format!("git would not take {branch:?} as a branch's name"),
            }),
            Err(error) => errors.push(FieldError { field: "branches", detail: error.to_string() }),
        }
    }
    if !errors.is_empty() {
        return Ok(invalid(&errors));
    }
    let change =
        Change { team: wanted.team.as_deref(), weight: wanted.weight, build_limit: wanted.build_limit };
    let mut tx = web.db.begin().await?;
    for (branch, policy) in policies {
        let branch = store::branch::touch(&mut tx, app.id, branch).await?;
        team::set_policy(&mut tx, branch.id, policy).await?;
    }
    if !team::change_share(&mut tx, app.id, &change).await? {
        let detail = format!("there is no team called {:?}: make it first", change.team.unwrap_or_default());
        return Ok(invalid(&[FieldError { field: "team", detail }]));
    }
    tx.commit().await?;
    store::worker::wake(&web.db, &[JobKind::Build]).await;
    Ok(Json(load::app_view(&web, &app).await?).into_response())
}

fn check_number(field: &'static str, number: Option<i32>, least: i32) -> Option<FieldError> {
    let detail = || format!("give a number from {least} to {NUMBER_MAX}");
    number
        .filter(|number| !(least..=NUMBER_MAX).contains(number))
        .map(|_| FieldError { field, detail: detail() })
}

//! Changing an application: its share of the builders, which commits are built, and what of its repository is built how.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use domain::job::{BuildPolicy, JobKind};
use host::Problem;
use store::app::{self, App};
use store::team;

use super::apps::{invalid, read};
use super::teams::check_number;
use crate::auth::Caller;
use crate::create::{self, Faults, FieldError, source};
use crate::{Web, load, view};

/// What is to change of an application; what is left out stays. What says how it is built holds for builds that begin
/// from now on.
#[derive(serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WantedChange {
    /// The name of a team that there is.
    team: Option<String>,
    /// 1 to 1000
    weight: Option<i32>,
    /// 1 to 1000 builds at a time, each of another branch.
    build_limit: Option<i32>,
    /// By branch: `newest`, `every` or `finish-running`.
    #[serde(default)]
    branches: BTreeMap<String, String>,
    /// Its path in the repository; empty: `Dockerfile`.
    dockerfile: Option<String>,
    /// The folder whose files the Dockerfile may copy; empty: all of the repository.
    context: Option<String>,
    /// The stage of the Dockerfile that is wanted; empty: the last.
    target: Option<String>,
    /// 1 to 65535; 0: the port that the image exposes, or else 8080.
    port: Option<i64>,
}

/// Change an application's team, its weight there, how many of its builds run at a time, which commits are built, and
/// what of the repository is built how
#[utoipa::path(patch, path = "/apps/{app}", security(("token" = ["admin"])), params(("app" = String, Path)),
    request_body = WantedChange, responses(
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
    let wanted: WantedChange = read(&body)?;
    let concerns_others = wanted.team.is_some() || wanted.weight.is_some() || wanted.build_limit.is_some();
    if concerns_others && caller.app_id.is_some() {
        let detail = "team, weight and limit concern others too: this needs a token for all applications";
        return Err(Problem::client(StatusCode::FORBIDDEN, detail));
    }
    let checked = match check(&wanted) {
        Ok(checked) => checked,
        Err(errors) => return Ok(invalid(&errors)),
    };
    let mut tx = web.db.begin().await?;
    for (branch, policy) in checked.policies {
        let branch = store::branch::touch(&mut tx, app.id, branch).await?;
        team::set_policy(&mut tx, branch.id, policy).await?;
    }
    if !team::change_share(&mut tx, app.id, &checked.share).await? {
        let detail =
            format!("there is no team called {:?}: make it first", checked.share.team.unwrap_or_default());
        return Ok(invalid(&[FieldError { field: "team", detail }]));
    }
    let app = app::change(&mut tx, app.id, &checked.app).await?;
    tx.commit().await?;
    store::worker::wake(&web.db, &[JobKind::Build]).await;
    Ok(Json(load::app_view(&web, &app).await?).into_response())
}

struct Checked<'a> {
    share: team::Change<'a>,
    policies: Vec<(&'a str, BuildPolicy)>,
    app: app::Change<'a>,
}

/// All that is wrong at once.
fn check(wanted: &WantedChange) -> Result<Checked<'_>, Vec<FieldError>> {
    let mut faults = Faults::default();
    faults.0.extend(check_number("weight", wanted.weight, 1));
    faults.0.extend(check_number("build_limit", wanted.build_limit, 1));
    let mut policies = Vec::new();
    for (branch, policy) in &wanted.branches {
        let policy = policy.parse::<BuildPolicy>().map_err(|error| error.to_string());
        let checked = policy.and_then(|policy| {
            let fits = create::is_branch(branch);
            fits.then_some((branch.as_str(), policy))
                .ok_or_else(|| format!("git would not take {branch:?} as a branch's name"))
        });
        policies.extend(faults.need("branches", checked));
    }
    let app = app::Change {
        dockerfile: wanted
            .dockerfile
            .as_deref()
            .and_then(|path| faults.need("dockerfile", source::dockerfile(path))),
        context: wanted.context.as_deref().and_then(|folder| faults.need("context", source::context(folder))),
        target: wanted.target.as_deref().and_then(|stage| faults.need("target", source::target(stage))),
        port: wanted.port.and_then(|port| faults.need("port", exposed_or(port))),
    };
    let share =
        team::Change { team: wanted.team.as_deref(), weight: wanted.weight, build_limit: wanted.build_limit };
    if faults.0.is_empty() { Ok(Checked { share, policies, app }) } else { Err(faults.0) }
}

/// `None`: the one that the image exposes.
fn exposed_or(port: i64) -> Result<Option<u16>, String> {
    match port {
        0 => Ok(None),
        port => source::port(port)
            .map(Some)
            .map_err(|error| format!("{error}, or 0 for the port that the image exposes")),
    }
}

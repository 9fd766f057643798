//! `/api/v1`: the same views as the pages, as JSON. Durations are milliseconds, times RFC 3339 in UTC.
//! Routes and their description are one thing: `openapi.json` lists what is registered here.

mod apps;
mod builds;
mod change;
mod environments;
mod garbage;
mod log;
mod settings;
mod teams;
mod tokens;

use axum::extract::State;
use axum::http::Method;
use axum::routing::get;
use axum::{Extension, Json, Router};
use domain::scope::Scope;
use host::Problem;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Web;
use crate::auth::{Caller, Rule};

const DESCRIPTION: &str = "/openapi.json";

#[derive(OpenApi)]
#[openapi(info(
    title = "Slipway",
    version = "1",
    description = "Applications, their builds, releases and deliveries. Send a token as `Authorization: Bearer <token>`. \
                   Errors are problems (RFC 9457)."
), modifiers(&Bearer))]
struct Description;

/// The scheme `token`, by which each operation says what scope it needs.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        let about = "A token's scope is read, push or admin, each of which holds those before it. A token may be for one \
                     application: every other is then not found, and what concerns all of them is refused.";
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(about)).build();
        let components = description.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// What each operation asks of its caller is what its description says; the description itself needs no more than a login.
pub(crate) fn rules() -> Vec<Rule> {
    let rule = |method, path: &str, scope| Rule { method, path: format!("/api/v1{path}"), scope };
    let mut rules = vec![rule(Method::GET, DESCRIPTION, Scope::Read)];
    for (path, item) in described().into_openapi().paths.paths {
        let operations = [
            (Method::GET, item.get),
            (Method::POST, item.post),
            (Method::PUT, item.put),
            (Method::PATCH, item.patch),
            (Method::DELETE, item.delete),
        ];
        for (method, operation) in operations {
            let scope = operation.and_then(|operation| scope(&operation));
            rules.extend(scope.map(|scope| rule(method, &path, scope)));
        }
    }
    rules
}

fn scope(operation: &Operation) -> Option<Scope> {
    let requirement = operation.security.as_ref()?.first()?;
    // Its fields are not public.
    serde_json::to_value(requirement).ok()?["token"][0].as_str()?.parse().ok()
}

pub(crate) fn router() -> Router<Web> {
    let (router, description) = described().split_for_parts();
    router
        .route(DESCRIPTION, get(async move || Json(description)))
        .fallback(async || Problem::not_found("the API has no such path; see /api/v1/openapi.json"))
}

pub(crate) fn described() -> OpenApiRouter<Web> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(whoami))
        .routes(routes!(apps::list, apps::create))
        .routes(routes!(apps::show, change::change))
        .routes(routes!(teams::list))
        .routes(routes!(teams::set))
        .routes(routes!(environments::list))
        .routes(routes!(environments::remove))
        .routes(routes!(apps::releases))
        .routes(routes!(apps::deliveries))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(garbage::show))
        .merge(of_builds())
}

/// Builds, their logs, and what they are given.
fn of_builds() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(builds::list))
        .routes(routes!(builds::show))
        .routes(routes!(builds::cancel))
        .routes(routes!(builds::rebuild))
        .routes(routes!(builds::provenance))
        .routes(routes!(builds::sbom))
        .routes(routes!(settings::secrets))
        .routes(routes!(settings::set_secret, settings::unset_secret))
        .routes(routes!(settings::args))
        .routes(routes!(settings::set_arg, settings::unset_arg))
        .routes(routes!(log::lines))
        .routes(routes!(log::text))
        .routes(routes!(log::events))
}

#[derive(serde::Serialize, utoipa::ToSchema)]
struct Whoami {
    /// The name of the token that this request was made with.
    name: String,
    #[schema(value_type = String)]
    scope: Scope,
    /// The application that it is for; nothing when it is for all.
    app: Option<String>,
}

/// Whose token this is
#[utoipa::path(get, path = "/whoami", security(("token" = ["read"])), responses((status = OK, body = Whoami)))]
async fn whoami(
    State(web): State<Web>,
    Extension(Caller(token)): Extension<Caller>,
) -> Result<Json<Whoami>, Problem> {
    let app = match token.app_id {
        Some(id) => store::app::get(&web.db, id).await?.map(|app| app.name),
        None => None,
    };
    Ok(Json(Whoami { name: token.name, scope: token.scope.0, app }))
}

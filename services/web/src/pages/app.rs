//! One application: its environments and how one is removed, its build history, its deliveries.

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::Redirect;
use domain::scope::Scope;
use store::app::App;

use super::{Page, Unshown, page};
use crate::auth::Caller;
use crate::view::{self, text};
use crate::{Web, environments, load};

const BUILDS: i64 = 25;

#[derive(Template)]
#[template(path = "app.html")]
struct AppPage {
    app: view::App,
    builds: Vec<view::Build>,
    may_remove: bool,
    /// This page is not the first.
    is_older: bool,
    /// The number to go on from, when there are older builds.
    next: Option<i32>,
}

#[derive(serde::Deserialize)]
pub(super) struct Older {
    before: Option<i32>,
}

pub(super) async fn app(
    State(web): State<Web>,
    Extension(caller): Extension<Caller>,
    Extension(app): Extension<App>,
    Query(older): Query<Older>,
) -> Page {
    let builds = load::builds(&web, &app, older.before, BUILDS).await?;
    let next = builds.last().map(|last| last.number).filter(|last| *last > 1);
    let may_remove = caller.0.allows(Some(app.id), Scope::Push);
    let app = load::app_view(&web, &app).await?;
    page(&AppPage { app, builds, may_remove, is_older: older.before.is_some(), next })
}

/// Whoever sends the form twice gets what they want.
pub(super) async fn remove_environment(
    State(web): State<Web>,
    Extension(caller): Extension<Caller>,
    Extension(app): Extension<App>,
    Path((_, env)): Path<(String, String)>,
) -> Result<Redirect, Unshown> {
    environments::remove(&web, &caller, &app, &env).await?;
    Ok(Redirect::to(&format!("/apps/{}", app.name)))
}

#[derive(Template)]
#[template(path = "deliveries.html")]
struct DeliveriesPage {
    app: String,
    hook_url: Option<String>,
    deliveries: Vec<view::Delivery>,
}

pub(super) async fn deliveries(State(web): State<Web>, Extension(app): Extension<App>) -> Page {
    let hook = store::app::hook_of(&web.db, app.id).await?;
    let deliveries = load::deliveries(&web, &app).await?;
    page(&DeliveriesPage { app: app.name, hook_url: hook.map(|hook| web.links.hook(hook.id)), deliveries })
}

//! One application: its environments, its build history, its deliveries.

use askama::Template;
use axum::extract::{Path, Query, State};

use super::{Page, page};
use crate::view::{self, text};
use crate::{Web, load};

const BUILDS: i64 = 25;

#[derive(Template)]
#[template(path = "app.html")]
struct AppPage {
    app: view::App,
    builds: Vec<view::Build>,
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
    Path(name): Path<String>,
    Query(older): Query<Older>,
) -> Page {
    let app = load::app(&web, &name).await?;
    let builds = load::builds(&web, &app, older.before, BUILDS).await?;
    let next = builds.last().map(|last| last.number).filter(|last| *last > 1);
    let app = load::app_view(&web, &app).await?;
    page(&AppPage { app, builds, is_older: older.before.is_some(), next })
}

#[derive(Template)]
#[template(path = "deliveries.html")]
struct DeliveriesPage {
    app: String,
    hook_url: Option<String>,
    deliveries: Vec<view::Delivery>,
}

pub(super) async fn deliveries(State(web): State<Web>, Path(name): Path<String>) -> Page {
    let app = load::app(&web, &name).await?;
    let hook = store::app::hook_of(&web.db, app.id).await?;
    let deliveries = load::deliveries(&web, &app).await?;
    page(&DeliveriesPage { app: app.name, hook_url: hook.map(|hook| web.links.hook(hook.id)), deliveries })
}

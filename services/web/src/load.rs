//! From rows to views: the reads that pages and API share.

use anyhow::Result;
use axum::http::StatusCode;
use domain::setting::SettingKind;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use host::Problem;
use store::app::App;
use store::build::Build;

use crate::auth::Caller;
use crate::{Web, view};

/// Reads of one request that run at a time; the pool is shared with all other requests.
const AT_ONCE: usize = 4;
const DELIVERIES: i64 = 100;

/// A build by the number in its URL.
pub(crate) async fn build(web: &Web, app: &App, number: &str) -> Result<Build, Problem> {
    let build = match number.parse() {
        Ok(number) => store::build::by_number(&web.db, app.id, number).await?,
        Err(_) => None,
    };
    build
        .ok_or_else(|| Problem::client(StatusCode::NOT_FOUND, format!("{} has no build #{number}", app.name)))
}

/// Takes a `Vec`: a lazy iterator's closure would make the future of the caller impossible to send.
async fn all<T>(reads: Vec<impl Future<Output = Result<T>>>) -> Result<Vec<T>> {
    stream::iter(reads).buffered(AT_ONCE).try_collect().await
}

/// All that the caller may see.
pub(crate) async fn apps(web: &Web, Caller(token): &Caller) -> Result<Vec<view::App>> {
    let rows = match token.app_id {
        Some(id) => store::app::get(&web.db, id).await?.into_iter().collect(),
        None => store::app::list(&web.db).await?,
    };
    all(rows.iter().map(|row| app_view(web, row)).collect()).await
}

pub(crate) async fn app_view(web: &Web, app: &App) -> Result<view::App> {
    let hook = store::app::hook_of(&web.db, app.id).await?;
    let last_build = builds(web, app, None, 1).await?.pop();
    let environments = environments(web, app).await?;
    let policies = store::team::policies(&web.db, app.id).await?;
    let share = view::Share::new(store::team::share(&web.db, app.id).await?, policies);
    Ok(view::App::new(&web.links, app, hook.as_ref(), share, environments, last_build))
}

/// Where a build that waits stands in the queue.
pub(crate) async fn queue(
    web: &Web,
    Caller(token): &Caller,
    app: &App,
    row: &Build,
) -> Result<Option<view::Queue>> {
    if row.state.0.is_final() {
        return Ok(None);
    }
    let standing = store::queue::standing::of_build(&web.db, row.id).await?;
    let only = token.app_id.map(|_| app.name.as_str());
    Ok(standing.map(|standing| view::Queue::new(&standing, only)))
}

/// Newest first.
pub(crate) async fn builds(
    web: &Web,
    app: &App,
    before: Option<i32>,
    limit: i64,
) -> Result<Vec<view::Build>> {
    let rows = store::build::list(&web.db, app.id, before, limit).await?;
    all(rows.iter().map(|row| build_view(web, app, row)).collect()).await
}

pub(crate) async fn build_view(web: &Web, app: &App, row: &Build) -> Result<view::Build> {
    // Only what was built has a release.
    let release = match row.digest {
        Some(_) => store::release::of_build(&web.db, row.id).await?,
        None => None,
    };
    let superseded_by = match row.superseded_by {
        Some(newer) => store::build::get(&web.db, newer).await?.map(|newer| newer.number),
        None => None,
    };
    let reuses = match row.digest {
        Some(_) => store::reuse::of_build(&web.db, row.id).await?,
        None => None,
    };
    Ok(view::Build::new(&web.links, app, row, &view::Placed { release, superseded_by, reuses }))
}

pub(crate) async fn steps(web: &Web, build: &Build) -> Result<Vec<view::Step>> {
    let rows = store::log::steps(&web.db, build.id).await?;
    let mut steps: Vec<view::Step> = rows.into_iter().map(view::Step::from).collect();
    view::mark_critical(&mut steps);
    Ok(steps)
}

/// The images that a build began from.
pub(crate) async fn bases(web: &Web, build: &Build) -> Result<Vec<view::Base>> {
    let rows = store::provenance::bases(&web.db, build.id).await?;
    Ok(rows.into_iter().map(view::Base::from).collect())
}

/// At most `limit` lines from line `from` on, and fewer when they are long.
pub(crate) async fn lines(web: &Web, build: &Build, from: i64, limit: usize) -> Result<Vec<view::Line>> {
    let rows = store::log::read(&web.logs, build.id, from.max(0), limit).await?;
    Ok(rows.into_iter().map(view::Line::from).collect())
}

pub(crate) async fn environments(web: &Web, app: &App) -> Result<Vec<view::Environment>> {
    let rows = store::environment::list(&web.db, app.id).await?;
    all(rows.iter().map(|row| environment(web, app, row)).collect()).await
}

async fn environment(
    web: &Web,
    app: &App,
    row: &store::environment::Environment,
) -> Result<view::Environment> {
    let live = match store::release::live_of(&web.db, row.id).await? {
        Some(live) => Some(release(web, &row.name, &live).await?),
        None => None,
    };
    let newest = match store::release::list(&web.db, row.id, 1).await?.pop() {
        Some(newest) => Some(release(web, &row.name, &newest).await?),
        None => None,
    };
    let branch = store::branch::get(&web.db, row.branch_id).await?;
    Ok(view::Environment {
        name: row.name.clone(),
        branch: branch.map(|branch| branch.name).unwrap_or_default(),
        namespace: row.namespace.clone(),
        url: web.links.environment(&row.name, &app.name),
        expires_at: row.expires_at,
        removal_asked_at: row.removal_asked_at,
        live,
        newest,
    })
}

async fn release(web: &Web, environment: &str, row: &store::release::Release) -> Result<view::Release> {
    let build = store::build::get(&web.db, row.build_id).await?;
    Ok(view::Release::new(row, environment, build.map_or(0, |build| build.number)))
}

/// The newest releases of all environments, newest first.
pub(crate) async fn releases(web: &Web, app: &App, limit: i64) -> Result<Vec<view::Release>> {
    let mut rows = Vec::new();
    for environment in store::environment::list(&web.db, app.id).await? {
        let releases = store::release::list(&web.db, environment.id, limit).await?;
        rows.extend(releases.into_iter().map(|row| (environment.name.clone(), row)));
    }
    rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.created_at));
    rows.truncate(usize::try_from(limit).unwrap_or_default());
    all(rows.iter().map(|(name, row)| release(web, name, row)).collect()).await
}

pub(crate) async fn deliveries(web: &Web, app: &App) -> Result<Vec<view::Delivery>> {
    let rows = store::delivery::list(&web.db, app.id, DELIVERIES).await?;
    Ok(rows.into_iter().map(view::Delivery::from).collect())
}

pub(crate) async fn secrets(web: &Web, app: &App) -> Result<Vec<view::Secret>> {
    let rows = store::setting::list(&web.db, app.id, SettingKind::Secret).await?;
    Ok(rows.into_iter().map(view::Secret::from).collect())
}

pub(crate) async fn args(web: &Web, app: &App) -> Result<Vec<view::Argument>> {
    let rows = store::setting::list(&web.db, app.id, SettingKind::Argument).await?;
    Ok(rows.into_iter().map(view::Argument::from).collect())
}

pub(crate) async fn tokens(web: &Web) -> Result<Vec<view::Token>> {
    let rows = store::token::list(&web.db).await?;
    Ok(rows.into_iter().map(view::Token::from).collect())
}

pub(crate) async fn garbage(web: &Web) -> Result<Vec<view::Garbage>> {
    let rows = store::garbage::overview(&web.db).await?;
    Ok(rows.into_iter().map(view::Garbage::from).collect())
}

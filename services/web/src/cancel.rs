//! Cancelling a build because somebody asks for it, by the API or the form.

use axum::http::StatusCode;
use domain::job::JobKind;
use host::Problem;
use store::app::App;
use store::bell::{self, Channel};
use store::build::Build;
use store::build::cancel::{self, Cancelled};

use crate::auth::Caller;
use crate::view::Status;
use crate::{Web, load, view};

/// The build as it is after the wish: it has ended, or its builder was asked to stop it. One that had ended before is a
/// conflict that says what to do instead.
pub(crate) async fn cancel(
    web: &Web,
    Caller(token): &Caller,
    app: &App,
    number: &str,
) -> Result<Build, Problem> {
    let db = &web.db;
    let build = load::build(web, app, number).await?;
    let mut tx = db.begin().await?;
    let cancelled = cancel::ask(&mut tx, &build, &token.name).await?;
    tx.commit().await?;
    if cancelled != Cancelled::TooLate {
        store::worker::wake(db, &[JobKind::Build, JobKind::Report]).await;
        bell::ring(db, Channel::Build, &build.id.to_string()).await;
        tracing::info!(app.name, build.number, by = token.name, ?cancelled, "a build was cancelled");
    }
    let build = load::build(web, app, number).await?;
    if cancelled == Cancelled::TooLate {
        let shown = load::build_view(web, app, &build).await?;
        return Err(Problem::client(StatusCode::CONFLICT, too_late(&shown)));
    }
    Ok(build)
}

fn too_late(build: &view::Build) -> String {
    let (number, environment) = (build.number, &build.environment);
    let version = build.release.as_ref().map(|it| format!(" v{}", it.version)).unwrap_or_default();
    let instead = "push the commit that is to run instead";
    match build.status {
        Status::Built => {
            format!(
                "it is too late to cancel #{number}: it is built, and its release{version} is next; {instead}"
            )
        }
        Status::Rolling => {
            format!("it is too late to cancel #{number}: it is being rolled out as{version}; {instead}")
        }
        Status::Live => format!(
            "it is too late to cancel #{number}: it is live as{version} in {environment}; {instead}, or remove the environment"
        ),
        Status::Superseded => match build.superseded_by {
            Some(newer) => format!("#{number} has ended: #{newer} took its place; cancel that one"),
            None => {
                format!("#{number} has ended: a newer release took its place; there is nothing to cancel")
            }
        },
        Status::Cancelled => match &build.cancelled_by {
            Some(by) => format!("#{number} has ended: it was cancelled by {by} before"),
            None => format!("#{number} has ended: it was cancelled before"),
        },
        Status::Failed | Status::Replaced | Status::Removed | Status::Queued | Status::Building => {
            format!("#{number} has ended ({}): there is nothing to cancel", build.status.word())
        }
    }
}
